import test from 'ava';
import { ContainerAdjustment, Field, IOPrioClass, LinuxSchedulerPolicy } from '../../../../api/gen/nri.ts';
import type { ValidateContainerAdjustmentRequest } from '../../../../api/gen/nri.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { container, makePlugins, pod, spec } from './fixture.ts';

const VALIDATION = 1 << 13;
type Wanted = Parameters<typeof ContainerAdjustment.fromPartial>[0];
const adjust = (wanted: Wanted) => ({ createContainer: () => ({ adjust: ContainerAdjustment.fromPartial(wanted) }) });

/** What becomes of a container when plugins want these, in order. */
async function created(wanted: Wanted[], options: Parameters<typeof makePlugins>[0] = {}) {
  const { connect, plugins } = makePlugins(options);
  for (const [index, one] of wanted.entries()) await connect(`${String(index)}0-p${String(index)}`, adjust(one));
  return plugins.createContainer(pod(), container(), spec());
}

test('everything that the runtime can do is applied', async (t) => {
  const hook = { path: '/bin/hook', args: ['hook', 'x'], env: ['A=1'], timeout: { value: 3n } };
  const change = await created([
    {
      annotations: { added: '1', '-gone': '', kept: 'changed' },
      mounts: [
        { destination: '/data/deep', type: 'bind', source: '/deep', options: ['ro', 'rslave'] },
        { destination: '-/etc/hosts' },
        { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['nosuid'] },
      ],
      env: [{ key: 'B', value: 'two=2' }, { key: '-A' }, { key: 'C', value: '3' }],
      args: ['sleep', '1'],
      hooks: { createRuntime: [hook], poststop: [{ path: '/bin/end' }] },
      rlimits: [
        { type: 'RLIMIT_NOFILE', soft: 5n, hard: 10n },
        { type: 'RLIMIT_CORE', soft: 0n, hard: 2n ** 64n - 1n },
      ],
      CDIDevices: [{ name: 'v/c=d' }],
      linux: {
        devices: [{ path: '/dev/x', type: 'c', major: 1n, minor: 3n, fileMode: { value: 0o600 }, uid: { value: 7 } }],
        namespaces: [{ type: 'ipc', path: '/other' }, { type: '-cgroup' }, { type: 'uts' }],
        sysctl: { 'net.x': '1' },
        oomScoreAdj: { value: 100n },
        ioPriority: { class: IOPrioClass.IOPRIO_CLASS_BE, priority: 4 },
        scheduler: { policy: LinuxSchedulerPolicy.SCHED_BATCH, nice: 5 },
        seccompPolicy: {
          defaultAction: 'SCMP_ACT_ALLOW',
          architectures: ['SCMP_ARCH_X86_64'],
          syscalls: [{ names: ['chmod'], action: 'SCMP_ACT_ERRNO', errnoRet: { value: 1 } }],
        },
        resources: {
          memory: { limit: { value: 2n ** 30n }, reservation: { value: 5n }, swap: { value: -1n } },
          cpu: { shares: { value: 1n }, quota: { value: 50_000n }, period: { value: 100_000n }, cpus: '0-1' },
          hugepageLimits: [{ pageSize: '2MB', limit: 4n }],
          unified: { 'memory.high': '1' },
          pids: { limit: 9n },
          devices: [{ allow: true, type: 'b', major: { value: 8n }, access: 'r' }],
        },
      },
    },
  ]);
  const { process, linux, mounts, annotations, hooks } = change.spec;
  t.deepEqual(annotations, { added: '1', kept: 'changed' });
  t.deepEqual(
    mounts.map(({ destination }) => destination),
    ['/proc', '/data', '/tmp', '/data/deep'],
  );
  t.deepEqual(mounts.at(-1), {
    destination: '/data/deep',
    type: 'bind',
    source: '/deep',
    options: ['rbind', 'ro', 'rslave'],
  });
  t.deepEqual(process.env, ['PATH=/bin', 'B=two=2', 'C=3']);
  t.deepEqual(process.args, ['sleep', '1']);
  t.deepEqual(hooks, {
    createRuntime: [{ path: '/bin/hook', args: ['hook', 'x'], env: ['A=1'], timeout: 3 }],
    poststop: [{ path: '/bin/end' }],
  });
  t.deepEqual(process.rlimits, [
    { type: 'RLIMIT_NOFILE', soft: 5, hard: 10 },
    { type: 'RLIMIT_CORE', soft: 0, hard: Infinity },
  ]);
  t.deepEqual(change.cdiDevices, ['v/c=d']);
  t.deepEqual(linux.devices, [{ path: '/dev/x', type: 'c', major: 1, minor: 3, fileMode: 0o600, uid: 7 }]);
  t.deepEqual(linux.resources.devices?.slice(1), [
    { allow: true, type: 'c', major: 1, minor: 3, access: 'rwm' },
    { allow: true, type: 'b', major: 8, access: 'r' },
  ]);
  t.deepEqual(linux.namespaces, [{ type: 'mount' }, { type: 'ipc', path: '/other' }, { type: 'uts' }]);
  t.deepEqual(linux.sysctl, { 'net.x': '1' });
  t.is(linux.rootfsPropagation, 'rslave');
  t.deepEqual(process.ioPriority, { class: 'IOPRIO_CLASS_BE', priority: 4 });
  t.deepEqual(process.scheduler, { policy: 'SCHED_BATCH', nice: 5 });
  t.deepEqual(linux.seccomp, {
    defaultAction: 'SCMP_ACT_ALLOW',
    architectures: ['SCMP_ARCH_X86_64'],
    syscalls: [{ names: ['chmod'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 }],
  });
  t.deepEqual(change.limits, {
    memory: 2 ** 30,
    memoryReservation: 5,
    memorySwap: 'unlimited',
    cpuShares: 2,
    cpuQuota: 50_000,
    cpuPeriod: 100_000,
    cpusetCpus: '0-1',
    hugepages: [{ pageSize: '2MB', limit: 4 }],
    unified: { 'memory.high': '1' },
    pids: 9,
    oomScoreAdj: 100,
  });
});

const linuxOnly: [RegExp, NonNullable<Wanted>['linux']][] = [
  [/cgroups_path/, { cgroupsPath: '/elsewhere' }],
  [/rdt/, { rdt: { closId: { value: 'gold' } } }],
  [/memory_policy/, { memoryPolicy: { nodes: '0' } }],
  [/net_devices/, { netDevices: { eth9: { name: 'eth0' } } }],
  [/namespace "user"/, { namespaces: [{ type: 'user', path: '/x' }] }],
  [/namespace "mount"/, { namespaces: [{ type: '-mount' }] }],
  [/blockio_class/, { resources: { blockioClass: { value: 'slow' } } }],
  [/rdt_class/, { resources: { rdtClass: { value: 'gold' } } }],
  [/kernelTcp/, { resources: { memory: { kernelTcp: { value: 1n } } } }],
  [/io_priority with crun 1.8.1/, { ioPriority: { class: IOPrioClass.IOPRIO_CLASS_RT } }],
  [/scheduler with crun 1.8.1/, { scheduler: { policy: LinuxSchedulerPolicy.SCHED_RR } }],
  [/seccomp_policy/, { seccompPolicy: { syscalls: [{ args: [{ value: 2n ** 60n }] }] } }],
];
for (const [pattern, linux] of linuxOnly) {
  test(`what cannot be done is refused: ${pattern.source}`, async (t) => {
    const runtime = { name: 'crun', version: '1.8.1' };
    const error = await t.throwsAsync(created([{ linux }], { runtime }), { instanceOf: CriError, message: pattern });
    t.is(error?.code, StatusCode.UNIMPLEMENTED);
    t.regex(error?.message ?? '', /NRI plugin 00-p0/);
  });
}

const invalid: [string, Wanted][] = [
  ['a relative mount', { mounts: [{ destination: 'etc' }] }],
  ['a mount on the root', { mounts: [{ destination: '//' }] }],
  ['a mount that leads elsewhere', { mounts: [{ destination: '/a/../b' }] }],
  ['a variable with =', { env: [{ key: 'A=B' }] }],
  ['a relative hook', { hooks: { prestart: [{ path: 'hook' }] } }],
  ['an unknown limit', { rlimits: [{ type: 'nofile' }] }],
  ['a soft limit above the hard one', { rlimits: [{ type: 'RLIMIT_CORE', soft: 2n, hard: 1n }] }],
  ['an odd device', { linux: { devices: [{ path: '/dev/x', type: 'q' }] } }],
  ['an odd score', { linux: { oomScoreAdj: { value: 1001n } } }],
  ['an odd list of processors', { linux: { resources: { cpu: { cpus: 'all' } } } }],
  ['an odd cgroup file', { linux: { resources: { unified: { '../x': '1' } } } }],
];
for (const [what, wanted] of invalid) {
  test(`what makes no sense is refused: ${what}`, async (t) => {
    const error = await t.throwsAsync(created([wanted]), { instanceOf: CriError, message: /NRI plugin 00-p0/ });
    t.is(error?.code, StatusCode.INVALID_ARGUMENT);
  });
}

const both: [string, Wanted][] = [
  ['Annotations "k"', { annotations: { k: '1' } }],
  ['Mounts "/m"', { mounts: [{ destination: '/m', type: 'tmpfs' }] }],
  ['Env "E"', { env: [{ key: 'E' }] }],
  ['Args', { args: ['x'] }],
  ['Devices "/dev/x"', { linux: { devices: [{ path: '/dev/x', type: 'c' }] } }],
  ['CdiDevices "v/c=d"', { CDIDevices: [{ name: 'v/c=d' }] }],
  ['Rlimits "RLIMIT_CORE"', { rlimits: [{ type: 'RLIMIT_CORE' }] }],
  ['CPUSetCPUs', { linux: { resources: { cpu: { cpus: '1' } } } }],
  ['MemLimit', { linux: { resources: { memory: { limit: { value: 1n } } } } }],
  ['HugepageLimits "2MB"', { linux: { resources: { hugepageLimits: [{ pageSize: '2MB' }] } } }],
  ['CgroupsUnified "a.b"', { linux: { resources: { unified: { 'a.b': '1' } } } }],
  ['OomScoreAdj', { linux: { oomScoreAdj: { value: 1n } } }],
  ['Namespace "uts"', { linux: { namespaces: [{ type: 'uts' }] } }],
  ['Sysctl "a"', { linux: { sysctl: { a: '1' } } }],
  ['SeccompPolicy', { linux: { seccompPolicy: {} } }],
];
test('two plugins must not change the same', async (t) => {
  for (const [what, wanted] of both) {
    const message = `NRI plugins 00-p0 and 10-p1 both want to set ${what} of container c`;
    await t.throwsAsync(created([wanted, wanted]), { message }, what);
  }
});

test('a plugin that removes first may change what another has', async (t) => {
  const { spec: changed } = await created([
    {
      annotations: { k: '1' },
      env: [{ key: 'E', value: '1' }],
      args: ['one'],
      mounts: [{ destination: '/m', source: 'a' }],
    },
    {
      annotations: { '-k': '', k: '2' },
      env: [{ key: '-E' }, { key: 'E', value: '2' }],
      args: ['', 'two'],
      mounts: [{ destination: '-/m' }, { destination: '/m', type: 'tmpfs', source: 'b' }],
      hooks: { poststart: [{ path: '/second' }] },
    },
  ]);
  t.is(changed.annotations?.['k'], '2');
  t.true(changed.process.env.includes('E=2'));
  t.deepEqual(changed.process.args, ['two']);
  t.deepEqual(
    changed.mounts.filter(({ destination }) => destination === '/m').map(({ source }) => source),
    ['b'],
  );
  const removed = await created([{ env: [{ key: 'E', value: '1' }] }, { env: [{ key: '-E' }] }]);
  t.false(removed.spec.process.env.some((variable) => variable.startsWith('E=')));
});

test('the next plugin sees what those before it changed', async (t) => {
  const { connect, plugins } = makePlugins();
  const linux = { resources: { cpu: { cpus: '3' } } };
  await connect('00-a', adjust({ env: [{ key: 'E', value: '1' }], annotations: { k: 'v' }, linux }));
  const seen: unknown[] = [];
  await connect('10-b', {
    createContainer: ({ container: shown }) => {
      seen.push(shown?.env.at(-1), shown?.annotations['k'], shown?.linux?.resources?.cpu?.cpus);
      return {};
    },
  });
  await plugins.createContainer(pod(), container(), spec());
  t.deepEqual(seen, ['E=1', 'v', '3']);
});

test('a plugin must not update the container that it adjusts, but others', async (t) => {
  const { connect, plugins } = makePlugins();
  const update = (containerId: string) => [{ containerId, linux: undefined, ignoreFailure: false }];
  const plugin = await connect('00-a', { createContainer: () => ({ update: update('c') }) });
  await t.throwsAsync(plugins.createContainer(pod(), container(), spec()), { message: /00-a updates the container/ });
  plugin.answers = {
    createContainer: () => ({ update: update('d'), evict: [{ containerId: 'e', reason: 'room' }] }),
  };
  const { updates, evictions } = await plugins.createContainer(pod(), container(), spec());
  t.deepEqual(updates, [{ containerId: 'd', limits: {}, ignoreFailure: false }]);
  t.deepEqual(evictions, [{ containerId: 'e', reason: '00-a: room' }]);
});

test('validators see what all plugins want, and whose it is', async (t) => {
  const { connect, plugins } = makePlugins();
  await connect('00-a', adjust({ env: [{ key: 'E', value: '1' }], args: ['x'] }));
  const requests: ValidateContainerAdjustmentRequest[] = [];
  const validator = await connect('90-v', {
    configure: () => ({ events: VALIDATION }),
    validateContainerAdjustment: (request) => {
      requests.push(request);
      return {};
    },
  });
  await plugins.createContainer(pod(), container(), spec());
  const [request] = requests;
  t.deepEqual(request?.container?.args, ['sh']);
  t.deepEqual(request?.adjust?.args, ['x']);
  t.is(request?.owners?.owners['c']?.simple[Field.Args], '00-a');
  t.deepEqual(request?.owners?.owners['c']?.compound[Field.Env]?.owners, { E: '00-a' });
  t.deepEqual(request?.plugins, [
    { name: 'a', index: '00' },
    { name: 'v', index: '90' },
  ]);
  validator.answers = { validateContainerAdjustment: () => ({ reject: true, reason: 'no args' }) };
  await t.throwsAsync(plugins.createContainer(pod(), container(), spec()), { message: /90-v: no args/ });
});

test('a validator that does not answer is not passed by', async (t) => {
  const { connect, plugins } = makePlugins({ requestTimeoutMs: 50 });
  await connect('90-v', {
    configure: () => ({ events: VALIDATION }),
    validateContainerAdjustment: () => new Promise(() => undefined),
  });
  await t.throwsAsync(plugins.createContainer(pod(), container(), spec()), { message: /90-v does not answer/ });
});

const rules: [string, Wanted, RegExp][] = [
  ['reject_oci_hook_adjustment', { hooks: { prestart: [{ path: '/x' }] } }, /OCI hooks: 00-p0/],
  ['reject_runtime_default_seccomp_adjustment', { linux: { seccompPolicy: {} } }, /profile runtime-default: 00-p0/],
  ['reject_namespace_adjustment', { linux: { namespaces: [{ type: 'uts' }] } }, /namespaces: 00-p0/],
  ['reject_sysctl_adjustment', { linux: { sysctl: { a: '1' } } }, /sysctls: 00-p0/],
];
for (const [rule, wanted, message] of rules) {
  test(`rules refuse changes: ${rule}`, async (t) => {
    await t.throwsAsync(created([wanted], { rules: { enable: true, [rule]: true } }), { message });
    await t.notThrowsAsync(created([wanted], { rules: { enable: true } }));
    await t.notThrowsAsync(created([{}], { rules: { enable: true, [rule]: true } }));
  });
}

test('required plugins must be there, unless a pod tolerates it', async (t) => {
  const key = 'tolerate.example';
  const { connect, plugins } = makePlugins({
    rules: { enable: true, required_plugins: ['a'], tolerate_missing_plugins_annotation: key },
  });
  t.false(plugins.isIdle);
  const create = (annotations = {}) => plugins.createContainer(pod(annotations), container(), spec());
  await t.throwsAsync(create(), { message: /not connected: a$/ });
  await t.notThrowsAsync(create({ [key]: 'true' }));
  await t.notThrowsAsync(create({ [key]: 'false', [`${key}/container.name-c`]: 'true' }));
  await connect('10-a');
  await t.notThrowsAsync(create());
  const required = 'required-plugins.noderesource.dev';
  await t.throwsAsync(create({ [required]: '[b, a]' }), { message: /not connected: b$/ });
  await t.throwsAsync(create({ [`${required}/pod`]: '{' }), { message: /must be a list/ });
});
