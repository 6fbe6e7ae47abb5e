import test from 'ava';
import type { ExecutionContext } from 'ava';
import fc from 'fast-check';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { CdiRegistry } from '../../../../src/integrations/cdi/cdi-registry.ts';
import { parseCdiSpec } from '../../../../src/integrations/cdi/cdi-spec.ts';

const gpu = (name: string, env: string) => ({ name, containerEdits: { env: [env] } });
const file = (devices: object[], more: object = {}) =>
  JSON.stringify({ cdiVersion: '0.6.0', kind: 'vendor.com/gpu', devices, ...more });

/** Two directories of specifications, the second one with precedence. */
async function directories(t: ExecutionContext) {
  const root = await mkdtemp('/tmp/cdi-');
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const [low, high] = [join(root, 'low'), join(root, 'high')];
  await mkdir(low);
  await mkdir(high);
  const registry = new CdiRegistry([low, join(root, 'none'), high]);
  const env = async (...names: string[]) => (await registry.edits(names)).map((edits) => [edits.of, ...edits.env]);
  return { low, high, registry, env };
}

test('JSON and YAML specifications are equal', (t) => {
  const json = parseCdiSpec(
    JSON.stringify({
      cdiVersion: '1.0.0',
      kind: 'vendor.com/net-card',
      annotations: { a: 'b' },
      containerEdits: { additionalGids: [44] },
      devices: [
        {
          name: '0:1.x',
          containerEdits: {
            env: ['A=b=c'],
            deviceNodes: [
              {
                path: '/dev/card0',
                hostPath: '/dev/null',
                type: 'u',
                major: 1,
                minor: 3,
                fileMode: 432,
                permissions: 'rw',
                uid: 1,
                gid: 2,
              },
            ],
            mounts: [
              { hostPath: '/usr/lib/x', containerPath: '/lib/x', options: ['ro'] },
              { hostPath: 'tmpfs', containerPath: '/cache', type: 'tmpfs' },
            ],
            hooks: [{ hookName: 'createContainer', path: '/bin/true', args: ['true', 'x'], env: ['A=b'], timeout: 3 }],
          },
        },
      ],
    }),
    'json',
  );
  const yaml = parseCdiSpec(
    `
cdiVersion: "1.0.0"
kind: vendor.com/net-card
annotations: {a: b}
containerEdits:
  additionalGids: [44]
devices:
- name: "0:1.x"
  containerEdits:
    env: [A=b=c]
    deviceNodes:
    - {path: /dev/card0, hostPath: /dev/null, type: u, major: 1, minor: 3, fileMode: 0660, permissions: rw, uid: 1, gid: 2}
    mounts:
    - {hostPath: /usr/lib/x, containerPath: /lib/x, options: [ro]}
    - {hostPath: tmpfs, containerPath: /cache, type: tmpfs}
    hooks:
    - {hookName: createContainer, path: /bin/true, args: ["true", x], env: [A=b], timeout: 3}
`,
    'yaml',
  );
  t.deepEqual(yaml, json);
  t.is(json.kind, 'vendor.com/net-card');
  t.deepEqual(json.edits.additionalGids, [44]);
  const device = json.devices.get('0:1.x');
  t.like(device?.deviceNodes[0], { type: 'c', fileMode: 0o660, permissions: 'rw' });
  t.deepEqual(device?.mounts[1], { hostPath: 'tmpfs', containerPath: '/cache', type: 'tmpfs', options: [] });
});

test('an invalid file is refused with location and reason', (t) => {
  const wrong: [string | object, RegExp][] = [
    ['[]', /expected object/],
    ['{', /JSON/],
    [{ cdiVersion: '9.0.0' }, /cdiVersion/],
    [{ kind: 'gpu' }, /kind: must look like "vendor\.com\/class"/],
    [{ kind: 'vendor.com/a/b' }, /kind/],
    [{ kind: '-v/gpu' }, /kind/],
    [{ devices: [] }, /devices: must have at least one/],
    [{ devices: [gpu('a', 'A=1'), gpu('a', 'A=2')] }, /duplicate "a"/],
    [{ devices: [gpu('a/b', 'A=1')] }, /devices\.0\.name/],
    [{ devices: [{ name: 'a' }] }, /devices\.0\.containerEdits/],
    [{ devices: [gpu('a', 'novalue')] }, /devices\.0\.containerEdits\.env\.0: must look like "NAME=value"/],
    [{ surprise: 1 }, /surprise/],
    [{ containerEdits: { deviceNodes: [{ path: 'dev/x' }] } }, /deviceNodes\.0\.path: must be an absolute/],
    [{ containerEdits: { deviceNodes: [{ path: '/x', permissions: 'rx' }] } }, /permissions/],
    [{ containerEdits: { deviceNodes: [{ path: '/x', major: -1 }] } }, /major/],
    [{ containerEdits: { mounts: [{ hostPath: 'x', containerPath: '/x' }] } }, /absolute "hostPath"/],
    [{ containerEdits: { hooks: [{ hookName: 'sometime', path: '/x' }] } }, /hookName/],
    [{ containerEdits: { hooks: [{ hookName: 'poststop', path: 'x' }] } }, /hooks\.0\.path/],
    [{ containerEdits: { hooks: [{ hookName: 'poststop', path: '/x', timeout: 0 }] } }, /timeout/],
  ];
  for (const [document, message] of wrong) {
    const text = typeof document === 'string' ? document : file([gpu('a', 'A=1')], document);
    t.throws(() => parseCdiSpec(text, 'json'), { message }, text);
  }
  const alias = ['a: &a [x,x,x,x,x,x,x,x,x]'];
  for (let i = 0; i < 9; i++)
    alias.push(
      `${String.fromCharCode(98 + i)}: &${String.fromCharCode(98 + i)} [${Array<string>(9)
        .fill(`*${String.fromCharCode(97 + i)}`)
        .join(',')}]`,
    );
  t.throws(() => parseCdiSpec(alias.join('\n'), 'yaml'), { message: /alias/i });
});

test('YAML with an error is refused as a whole', (t) => {
  const spec = (more: string) =>
    `cdiVersion: "1.0.0"\nkind: v.com/c\ndevices: [{name: a, containerEdits: {}}]\n${more}`;
  t.is(parseCdiSpec(spec(''), 'yaml').devices.size, 1);
  const wrong: [string, RegExp][] = [
    ['kind: v.com/d\n', /^is not valid YAML: Map keys must be unique/],
    ['containerEdits: {env: [A=b}\n', /^is not valid YAML: /],
    ['containerEdits: *none\n', /^is not valid YAML: Unresolved alias/],
    ['---\nkind: v.com/e\n', /^is not valid YAML: Source contains multiple documents/],
    ['annotations: {a: "b}\n', /^is not valid YAML: Missing closing "quote/],
  ];
  for (const [more, message] of wrong) t.throws(() => parseCdiSpec(spec(more), 'yaml'), { message }, more);
  // Keys are compared with each other: some more would hold the server up.
  const keys = Array.from({ length: 5000 }, (_, index) => `key${String(index)}: 1\n`);
  t.throws(() => parseCdiSpec(spec(keys.join('')), 'yaml'), { message: /^is not valid YAML: it has too many keys/ });
});

test('the parser returns or throws an Error with message', (t) => {
  const json = fc.json({ maxDepth: 4 });
  const device = fc.record({ name: fc.constantFrom('a', 'b', '', '-'), containerEdits: fc.anything() });
  const near = fc
    .record({
      cdiVersion: fc.constantFrom('0.3.0', '1.0.0', '0.1.0'),
      kind: fc.constantFrom('v.com/c', 'c', ''),
      devices: fc.oneof(fc.array(device, { maxLength: 3 }), fc.anything()),
      containerEdits: fc.oneof(
        fc.record({ env: fc.array(fc.string()), deviceNodes: fc.array(fc.anything()), hooks: fc.anything() }),
        fc.anything(),
      ),
    })
    .map((value) => JSON.stringify(value, (_, each: unknown) => (typeof each === 'bigint' ? Number(each) : each)));
  const survives = (format: 'json' | 'yaml') => (text: string) => {
    try {
      return parseCdiSpec(text, format).devices.size > 0;
    } catch (error) {
      return error instanceof Error && !(error instanceof TypeError) && error.message !== '';
    }
  };
  fc.assert(fc.property(fc.oneof(json, near, fc.string()), survives('json')), { numRuns: 2000 });
  fc.assert(fc.property(fc.oneof(json, near, fc.string({ unit: 'binary' })), survives('yaml')), { numRuns: 2000 });
  t.pass();
});

test('edits are ordered, applied once, and reread', async (t) => {
  const { low, registry, env } = await directories(t);
  t.deepEqual(await registry.edits([]), []);
  const devices = [gpu('0', 'GPU0=y'), gpu('1', 'GPU1=y')];
  await writeFile(join(low, 'a.json'), file(devices, { containerEdits: { env: ['SHARED=y'] } }));
  await writeFile(join(low, 'ignored.txt'), 'nothing');
  t.deepEqual(await env('vendor.com/gpu=1', 'vendor.com/gpu=0'), [
    ['vendor.com/gpu', 'SHARED=y'],
    ['vendor.com/gpu=1', 'GPU1=y'],
    ['vendor.com/gpu=0', 'GPU0=y'],
  ]);
  await writeFile(join(low, 'a.json'), file([gpu('0', 'GPU0=new')]));
  t.deepEqual((await env('vendor.com/gpu=0')).at(-1), ['vendor.com/gpu=0', 'GPU0=new']);
  await rm(join(low, 'a.json'));
  await t.throwsAsync(env('vendor.com/gpu=0'), { message: /CDI device not found: vendor\.com\/gpu=0/ });
});

test('a later directory wins; duplicates within one conflict', async (t) => {
  const { low, high, env } = await directories(t);
  await writeFile(join(low, 'a.json'), file([gpu('0', 'FROM=low-a'), gpu('1', 'FROM=low-a')]));
  await writeFile(join(low, 'b.json'), file([gpu('0', 'FROM=low-b')]));
  const conflict = await t.throwsAsync(env('vendor.com/gpu=0'), { instanceOf: CriError });
  t.is(conflict?.code, StatusCode.FAILED_PRECONDITION);
  t.true(conflict?.message.includes(`vendor.com/gpu=0 (ambiguous: ${low}/a.json and ${low}/b.json)`));
  t.deepEqual((await env('vendor.com/gpu=1')).at(-1), ['vendor.com/gpu=1', 'FROM=low-a']);
  await writeFile(join(high, 'z.yaml'), file([gpu('0', 'FROM=high')]));
  t.deepEqual((await env('vendor.com/gpu=0')).at(-1), ['vendor.com/gpu=0', 'FROM=high']);
});

test('a missing device is named with the invalid files', async (t) => {
  const { low, high, env } = await directories(t);
  await writeFile(join(low, 'good.json'), file([gpu('0', 'A=b')]));
  await writeFile(join(high, 'broken.yaml'), 'devices: [');
  await mkdir(join(high, 'directory.json'));
  await writeFile(join(high, 'large.json'), '');
  await truncate(join(high, 'large.json'), 5_000_000);
  t.is((await env('vendor.com/gpu=0')).length, 2, 'what is wrong elsewhere does not matter');
  const error = await t.throwsAsync(env('vendor.com/gpu=0', 'vendor.com/gpu=9', 'other.com/x=y'), {
    instanceOf: CriError,
  });
  t.regex(
    error?.message ?? '',
    /CDI device not found: vendor\.com\/gpu=9, other\.com\/x=y; searched .*low, .*high; .*broken\.yaml: .*directory\.json: is not a regular file; .*large\.json: is larger/s,
  );
  await t.throwsAsync(new CdiRegistry([]).edits(['a.b/c=d']), { message: /no directory \(runtime\.cdi_spec_dirs\)/ });
});
