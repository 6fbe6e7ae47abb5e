import test from 'ava';
import fc from 'fast-check';
import { ContainerConfig, PodSandboxConfig } from '../../../../../api/gen/cri.ts';
import { containerSchema } from '../../../../../src/core/lifecycle/containers/container-record.ts';
import { imageSchema } from '../../../../../src/core/lifecycle/images/image-record.ts';
import { sandboxSchema } from '../../../../../src/core/lifecycle/pods/sandbox-record.ts';
import { storedContainer, storedPod } from '../../../../../src/cri/map/stored.ts';
import { formatRecord, parseRecord } from '../../../../../src/core/lifecycle/records/record-file.ts';
import type { RecordSchema } from '../../../../../src/core/lifecycle/records/record-file.ts';
import type { ContainerRecord } from '../../../../../src/core/model/container.ts';
import type { ImageRecord } from '../../../../../src/core/model/image.ts';
import type { SandboxRecord } from '../../../../../src/core/model/sandbox.ts';

const text = fc.oneof(
  fc.string({ unit: 'binary' }).map((value) => value.toWellFormed()),
  fc.constant(''),
);
const key = fc.oneof(text, fc.constantFrom('$bigint', '$bytes', '__proto__', 'constructor', '', 'labels', 'toJSON'));
const value = fc.oneof(text, fc.constantFrom('1', '-12', 'aGVsbG8=', '', '{"$bigint":"1"}'));
const dictionary = fc.array(fc.tuple(key, value), { maxLength: 4 }).map((pairs) => Object.fromEntries(pairs));
const request = fc.record({ labels: dictionary, args: fc.array(text), attempt: fc.nat(), tty: fc.boolean() });
const digest = fc.stringMatching(/^sha256:[0-9a-f]{64}$/);

const sandbox: fc.Arbitrary<SandboxRecord> = fc.record(
  {
    id: text,
    handler: text,
    handlerChosenBy: text,
    spec: fc
      .record({ labels: dictionary, annotations: dictionary, hostname: text, sysctls: dictionary })
      .map((spec) => spec as SandboxRecord['spec']),
    request,
    phase: fc.constantFrom('creating' as const, 'ready' as const, 'stopped' as const),
    createdAt: fc.bigInt(),
    network: fc.record({
      ips: fc.array(text),
      networks: fc.array(fc.record({ ifName: text, conflist: text, result: text })),
    }),
    bootId: text,
  },
  { requiredKeys: ['id', 'handler', 'spec', 'request', 'phase', 'createdAt', 'bootId'] },
);

const container: fc.Arbitrary<ContainerRecord> = fc.record(
  {
    id: text,
    sandboxId: text,
    spec: fc
      .record({ labels: dictionary, annotations: dictionary, env: fc.array(fc.record({ name: text, value: text })) })
      .map((spec) => spec as ContainerRecord['spec']),
    request,
    imageId: text,
    imageRef: text,
    rootfsStore: text,
    mountedImages: fc.array(fc.record({ mount: fc.nat(), imageId: text })),
    phase: fc.constantFrom('creating' as const, 'created' as const, 'exited' as const),
    logPath: text,
    user: fc.record({ uid: fc.nat(), gid: fc.nat(), supplementalGroups: fc.array(fc.nat()) }),
    stopSignal: fc.nat(),
    createdAt: fc.bigInt(),
    startedAt: fc.bigInt(),
    finishedAt: fc.bigInt(),
    exitCode: fc.nat(),
    reason: text,
    message: text,
  },
  {
    requiredKeys: [
      ...([
        'id',
        'sandboxId',
        'spec',
        'request',
        'imageId',
        'imageRef',
        'phase',
        'logPath',
        'user',
        'stopSignal',
      ] as const),
      ...(['createdAt', 'startedAt', 'finishedAt', 'exitCode', 'reason', 'message'] as const),
    ],
  },
);

const texts = fc.array(text);
const image: fc.Arbitrary<ImageRecord> = fc.record({
  id: digest,
  repoTags: texts,
  repoDigests: texts,
  size: fc.bigInt(),
  manifestDigest: digest,
  config: fc.record({
    architecture: text,
    os: text,
    config: fc.record({
      User: text,
      Env: texts,
      Entrypoint: texts,
      Cmd: texts,
      WorkingDir: text,
      Volumes: texts,
      StopSignal: text,
      Labels: dictionary,
      ExposedPorts: texts,
    }),
    diffIds: fc.array(digest),
  }),
  chainId: fc.option(digest, { nil: undefined }),
  pulledAt: fc.bigInt(),
  pinned: fc.boolean(),
});

/** JSON as format 1 wrote it, with tags. */
function format1(record: object): string {
  const encode = function (this: Record<string, unknown>, name: string, given: unknown): unknown {
    if (typeof given === 'bigint') return { $bigint: given.toString() };
    const original = this[name];
    return original instanceof Uint8Array ? { $bytes: Buffer.from(original).toString('base64') } : given;
  };
  return JSON.stringify({ format: 1, record }, encode, 2);
}

function survives<T extends object>(kind: string, schema: RecordSchema<T>, arbitrary: fc.Arbitrary<T>): void {
  test(`one ${kind} survives storage with any keys and values`, (t) => {
    fc.assert(
      fc.property(arbitrary, fc.nat(), (record, revision) => {
        t.deepEqual(parseRecord(schema, 'a.json', formatRecord(schema, { revision, record })), { revision, record });
      }),
    );
  });
}

const pods = storedPod({ cgroupDriver: 'cgroupfs', cgroupParent: '' });
const sandboxes = sandboxSchema(pods);
const containers = containerSchema(storedContainer);
survives('pod sandbox', sandboxes, sandbox);
survives('container', containers, container);
survives('image', imageSchema, image);

test('an image of format 1 is migrated', (t) => {
  fc.assert(
    fc.property(image, (record) => {
      t.deepEqual(parseRecord(imageSchema, 'a.json', format1(record)), { revision: 0, record });
    }),
  );
});

test('a pod sandbox of format 1 is migrated', (t) => {
  fc.assert(
    fc.property(sandbox, dictionary, dictionary, ({ spec: _spec, request: _request, ...rest }, labels, annotations) => {
      const metadata = { name: 'web', namespace: 'default', uid: 'u' };
      const config = PodSandboxConfig.fromPartial({ metadata, labels, annotations });
      const record = { ...rest, ...pods({ config }) };
      t.deepEqual(parseRecord(sandboxes, 'a.json', format1({ ...rest, config })), { revision: 0, record });
    }),
  );
});

test('a container of format 1 is migrated', (t) => {
  fc.assert(
    fc.property(container, dictionary, text, ({ spec: _spec, request: _request, ...rest }, labels, content) => {
      const envs = [{ key: 'A', value: Buffer.from(content.replaceAll('\0', '')) }];
      const resources = { memoryLimitInBytes: 2n ** 40n };
      const names = { metadata: { name: 'c' }, image: { image: 'i' } };
      const config = ContainerConfig.fromPartial({ ...names, labels, envs, linux: { resources } });
      const record = { ...rest, ...storedContainer({ config }) };
      t.deepEqual(parseRecord(containers, 'a.json', format1({ ...rest, config })), { revision: 0, record });
    }),
  );
});

test('a label of any name survives encoding', (t) => {
  const config = PodSandboxConfig.fromPartial({ labels: JSON.parse('{"__proto__":"x","constructor":"y"}') as object });
  const { labels } = PodSandboxConfig.decode(PodSandboxConfig.encode(config).finish());
  t.deepEqual(Object.entries(labels), [
    ['__proto__', 'x'],
    ['constructor', 'y'],
  ]);
});
