import test from 'ava';
import type { ExecutionContext } from 'ava';
import fc from 'fast-check';
import { ScalarType } from '@bufbuild/protobuf';
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import {
  ContainerConfig,
  LinuxContainerResources,
  PodSandboxConfig,
  UpdatePodSandboxResourcesRequest,
} from '../../../../api/gen/cri.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { containerSpec } from '../../../../src/cri/map/container-spec.ts';
import { podSpec } from '../../../../src/cri/map/pod-spec.ts';
import { toOpaque } from '../../../../src/cri/map/request.ts';
import { containerLimits, podLimits } from '../../../../src/cri/map/resources.ts';
import { compileApi, localName } from '../../api/descriptors.ts';

const { messages } = compileApi();
const descriptor = (name: string) => messages.find((message) => localName(message) === name)!;

const texts = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    '',
    'web',
    '/a/b',
    '../x',
    '/',
    'a\0b',
    'a\nb',
    '0-3',
    '2MB',
    'net.ipv4.ip_forward',
    'rwm',
    '1M',
    '::1',
  ),
  fc.constantFrom('localhost/p', 'runtime/default', 'ALL', 'NET_ADMIN', 'vendor.com/class=one', '__proto__', '٣'),
);

function scalar(type: ScalarType): fc.Arbitrary<unknown> {
  const wide = (min: bigint, max: bigint) =>
    fc.oneof(fc.constantFrom(0n, 1n, max, max - 4095n), fc.bigInt({ min, max }), fc.bigInt({ min: 0n, max: 5000n }));
  switch (type) {
    case ScalarType.STRING:
      return texts;
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes));
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.INT64:
      return fc.oneof(wide(-(2n ** 63n), 2n ** 63n - 1n), fc.constantFrom(-1n, -1001n));
    case ScalarType.UINT64:
      return wide(0n, 2n ** 64n - 1n);
    case ScalarType.UINT32:
      return fc.oneof(fc.constantFrom(0, 1, 4_294_967_295), fc.integer({ min: 0, max: 4_294_967_295 }));
    case ScalarType.INT32:
      return fc.oneof(fc.integer({ min: -1, max: 70_000 }), fc.integer());
    default:
      throw new Error(`no values for ${ScalarType[type]}`);
  }
}

function valueOf(field: DescField): fc.Arbitrary<unknown> {
  const single = (): fc.Arbitrary<unknown> => {
    if (field.message !== undefined) return fc.oneof(fc.constant({}), messageOf(field.message));
    // One more than defined: proto3 enums are open.
    if (field.enum !== undefined) return fc.integer({ min: 0, max: field.enum.values.length });
    return scalar(field.scalar);
  };
  if (field.fieldKind === 'map') return fc.dictionary(texts, texts, { maxKeys: 2 });
  return field.fieldKind === 'list' ? fc.array(single(), { maxLength: 2 }) : single();
}

/** Some fields of a message; the others are absent. */
function messageOf(message: DescMessage): fc.Arbitrary<Record<string, unknown>> {
  const fields = Object.fromEntries(message.fields.map((field) => [field.localName, valueOf(field)]));
  return fc.record(fields, { requiredKeys: [] });
}

/** Whether a path of an error, such as `config.mounts[0].host_path`, names a field that the messages have. */
function exists(path: string, root: DescMessage): boolean {
  let at: DescMessage | undefined = root;
  for (const [, name = ''] of path.matchAll(/(?:^|\.)(\w+)(?:\[(?:\d+|"(?:[^"\\]|\\.)*")\])?/gs)) {
    const field: DescField | undefined = at?.fields.find((one) => one.name === name);
    if (field === undefined) return false;
    at = field.message;
  }
  return true;
}

function parsesOrNames(t: ExecutionContext, root: string, parse: () => unknown): void {
  try {
    const spec = parse();
    t.deepEqual(JSON.parse(JSON.stringify(spec)), spec, 'a record holds the value as JSON');
  } catch (error) {
    if (!(error instanceof CriError)) throw error;
    t.true(error.code === StatusCode.INVALID_ARGUMENT || error.code === StatusCode.UNIMPLEMENTED, error.message);
    const path = /^(?:\w+(?:\[(?:\d+|"(?:[^"\\]|\\.)*")\])?\.?)+(?=: )/s.exec(error.message)?.[0];
    t.true(path !== undefined && exists(path, descriptor(root)), error.message);
  }
}

const metadata = { name: 'web', namespace: 'default', uid: 'u' };
const settings = { cgroupDriver: 'cgroupfs', cgroupParent: '' } as const;

test('any pod is parsed or refused, naming a field', (t) => {
  fc.assert(
    fc.property(fc.boolean(), messageOf(descriptor('PodSandboxConfig')), (named, partial) => {
      const config = PodSandboxConfig.fromPartial({ ...(partial as object), ...(named && { metadata }) });
      parsesOrNames(t, 'RunPodSandboxRequest', () => podSpec(config, settings));
      t.deepEqual(toOpaque(PodSandboxConfig.decode(PodSandboxConfig.encode(config).finish())), toOpaque(config));
    }),
    { numRuns: 1000 },
  );
});

test('any container is parsed or refused, naming a field', (t) => {
  fc.assert(
    fc.property(fc.boolean(), messageOf(descriptor('ContainerConfig')), (named, partial) => {
      const names = { metadata: { name: 'c' }, image: { image: 'i' } };
      const config = ContainerConfig.fromPartial({ ...(partial as object), ...(named && names) });
      parsesOrNames(t, 'CreateContainerRequest', () => containerSpec(config));
    }),
    { numRuns: 1000 },
  );
});

test('any container part is parsed or refused by field', (t) => {
  const part = fc
    .constantFrom(...descriptor('ContainerConfig').fields)
    .chain((field) => valueOf(field).map((value) => ({ [field.localName]: value })));
  const context = messageOf(descriptor('LinuxContainerSecurityContext')).map((securityContext) => ({
    linux: { securityContext },
  }));
  fc.assert(
    fc.property(fc.oneof(part, context), (partial) => {
      const config = { metadata: { name: 'c' }, image: { image: 'i' }, ...(partial as object) };
      parsesOrNames(t, 'CreateContainerRequest', () => containerSpec(ContainerConfig.fromPartial(config)));
    }),
    { numRuns: 1000 },
  );
});

test('any limits are parsed or refused, naming a field', (t) => {
  fc.assert(
    fc.property(messageOf(descriptor('LinuxContainerResources')), (partial) => {
      const limits = LinuxContainerResources.fromPartial(partial);
      parsesOrNames(t, 'UpdateContainerResourcesRequest', () => containerLimits(limits, 'linux'));
      const { overhead } = UpdatePodSandboxResourcesRequest.fromPartial({ overhead: limits });
      parsesOrNames(t, 'UpdatePodSandboxResourcesRequest', () => podLimits(overhead, 'overhead'));
    }),
    { numRuns: 1000 },
  );
});
