import test from 'ava';
import fc from 'fast-check';
import { ContainerConfig, PodSandboxConfig } from '../../../../../api/gen/cri.ts';
import { containerSchema } from '../../../../../src/core/lifecycle/containers/container-record.ts';
import { imageSchema } from '../../../../../src/core/lifecycle/images/image-record.ts';
import { sandboxSchema } from '../../../../../src/core/lifecycle/pods/sandbox-record.ts';
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
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const resources = fc.record({ cpuPeriod: int64, memoryLimitInBytes: int64, unified: dictionary });
const digest = fc.stringMatching(/^sha256:[0-9a-f]{64}$/);

const sandbox: fc.Arbitrary<SandboxRecord> = fc.record(
  {
    id: text,
    handler: text,
    config: fc
      .record({
        labels: dictionary,
        annotations: dictionary,
        hostname: text,
        linux: fc.record({ sysctls: dictionary }),
      })
      .map((config) => PodSandboxConfig.fromPartial(config)),
    phase: fc.constantFrom('creating' as const, 'ready' as const, 'stopped' as const),
    createdAt: fc.bigInt(),
    network: fc.record({
      ips: fc.array(text),
      networks: fc.array(fc.record({ ifName: text, conflist: text, result: text })),
    }),
    bootId: text,
  },
  { requiredKeys: ['id', 'handler', 'config', 'phase', 'createdAt', 'bootId'] },
);

const container: fc.Arbitrary<ContainerRecord> = fc.record(
  {
    id: text,
    sandboxId: text,
    config: fc
      .record({
        labels: dictionary,
        annotations: dictionary,
        envs: fc.array(fc.record({ key: text, value: fc.uint8Array().map((bytes) => Buffer.from(bytes)) })),
        linux: fc.record({ resources }),
      })
      .map((config) => ContainerConfig.fromPartial(config)),
    imageId: text,
    imageRef: text,
    mountedImages: fc.array(fc.record({ mount: fc.nat(), imageId: text, imageRef: text })),
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
      ...(['id', 'sandboxId', 'config', 'imageId', 'imageRef', 'phase', 'logPath', 'user', 'stopSignal'] as const),
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

/** JSON as format 1 wrote it, tags and all. */
function format1(record: object): string {
  const encode = function (this: Record<string, unknown>, name: string, given: unknown): unknown {
    if (typeof given === 'bigint') return { $bigint: given.toString() };
    const original = this[name];
    return original instanceof Uint8Array ? { $bytes: Buffer.from(original).toString('base64') } : given;
  };
  return JSON.stringify({ format: 1, record }, encode, 2);
}

function survives<T extends object>(kind: string, schema: RecordSchema<T>, arbitrary: fc.Arbitrary<T>): void {
  test(`one ${kind} comes back as it was, whatever its keys and values`, (t) => {
    fc.assert(
      fc.property(arbitrary, fc.nat(), (record, revision) => {
        t.deepEqual(parseRecord(schema, 'a.json', formatRecord(schema, { revision, record })), { revision, record });
      }),
    );
  });

  test(`one ${kind} of format 1 is read as it was meant`, (t) => {
    fc.assert(
      fc.property(arbitrary, (record) => {
        t.deepEqual(parseRecord(schema, 'a.json', format1(record)), { revision: 0, record });
      }),
    );
  });
}

survives('pod sandbox', sandboxSchema, sandbox);
survives('container', containerSchema, container);
survives('image', imageSchema, image);

test('the wire carries a label of any name', (t) => {
  const config = PodSandboxConfig.fromPartial({ labels: JSON.parse('{"__proto__":"x","constructor":"y"}') as object });
  const { labels } = PodSandboxConfig.decode(PodSandboxConfig.encode(config).finish());
  t.deepEqual(Object.entries(labels), [
    ['__proto__', 'x'],
    ['constructor', 'y'],
  ]);
});
