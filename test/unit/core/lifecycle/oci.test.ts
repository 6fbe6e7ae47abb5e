import test from 'ava';
import fc from 'fast-check';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  ContainerConfig,
  LinuxContainerResources,
  LinuxContainerSecurityContext,
  Signal,
} from '../../../../api/gen/cri.ts';
import { capabilitySets } from '../../../../src/core/lifecycle/oci/capabilities.ts';
import { capabilitiesOfMask } from '../../../../src/core/model/capabilities.ts';
import { containerDevices } from '../../../../src/core/lifecycle/oci/devices.ts';
import { mountTargets } from '../../../../src/core/lifecycle/containers/mount-targets.ts';
import { containerMounts } from '../../../../src/core/lifecycle/oci/mounts.ts';
import { containerArgs, containerCwd, containerEnv } from '../../../../src/core/lifecycle/oci/process.ts';
import { ociResources } from '../../../../src/core/lifecycle/oci/resources.ts';
import { seccompFilter } from '../../../../src/core/lifecycle/oci/security.ts';
import { criSignal, signalNumber, stopSignal } from '../../../../src/core/lifecycle/oci/signals.ts';
import { resolveUser } from '../../../../src/core/lifecycle/oci/users.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';

const image = {
  User: '',
  Env: ['PATH=/bin', 'A=image', 'B=image'],
  Entrypoint: ['/entry'],
  Cmd: ['cmd'],
  WorkingDir: '/srv',
  Volumes: [],
  StopSignal: '',
  Labels: {},
  ExposedPorts: [],
};
const everything = capabilitiesOfMask((1n << 41n) - 1n);
const invalid = { instanceOf: CriError, code: StatusCode.INVALID_ARGUMENT } as const;

test('command and args replace entrypoint and cmd as Kubernetes documents it', (t) => {
  const argv = (command: string[], args: string[]) => containerArgs(ContainerConfig.create({ command, args }), image);
  t.deepEqual(argv([], []), ['/entry', 'cmd']);
  t.deepEqual(argv([], ['x']), ['/entry', 'x']);
  t.deepEqual(argv(['/c'], []), ['/c']);
  t.deepEqual(argv(['/c'], ['x']), ['/c', 'x']);
  t.throws(() => containerArgs(ContainerConfig.create({}), { ...image, Entrypoint: [], Cmd: [] }), {
    message: /names no command/,
  });
  t.throws(() => argv(['a\0b'], []), { message: /NUL/ });
});

test('the environment: defaults, image, request, the later wins, and values stay whatever they hold', (t) => {
  const facts = { hostname: 'pod', home: '/root' };
  const env = (envs: { key: string; value: Buffer }[], tty = false) =>
    containerEnv(ContainerConfig.create({ envs, tty }), image, facts);
  const value = 'line\nbreak "quoted" $(id) =é';
  t.deepEqual(env([{ key: 'A', value: Buffer.from(value) }], true), [
    'PATH=/bin',
    'TERM=xterm',
    'HOSTNAME=pod',
    'HOME=/root',
    `A=${value}`,
    'B=image',
  ]);
  for (const [key, bytes] of [
    ['', 'x'],
    ['A=B', 'x'],
    ['A\0', 'x'],
    ['A', 'x\0y'],
  ] as const) {
    t.throws(() => env([{ key, value: Buffer.from(bytes) }]), invalid);
  }
  t.throws(() => env([{ key: 'A', value: Buffer.from([0xff, 0xfe]) }]), { ...invalid, message: /not UTF-8/ });
});

test("the working directory is the request's, the image's or /, and absolute", (t) => {
  t.is(containerCwd(ContainerConfig.create({ workingDir: '/w' }), image), '/w');
  t.is(containerCwd(ContainerConfig.create({}), image), '/srv');
  t.is(containerCwd(ContainerConfig.create({}), { ...image, WorkingDir: '' }), '/');
  t.throws(() => containerCwd(ContainerConfig.create({ workingDir: 'w' }), image), invalid);
});

test('capabilities: ALL first, then adds, then drops; names with and without CAP_', (t) => {
  const bounding = (
    addCapabilities: string[],
    dropCapabilities: string[],
    available: ReadonlySet<string> = everything,
  ) =>
    capabilitySets({ addCapabilities, dropCapabilities, addAmbientCapabilities: [] }, { privileged: false, available })
      .bounding;
  t.is(bounding([], []).length, 14);
  t.true(bounding(['net_admin'], []).includes('CAP_NET_ADMIN'));
  t.false(bounding([], ['CAP_CHOWN']).includes('CAP_CHOWN'));
  t.is(bounding(['ALL'], []).length, 41);
  t.deepEqual(bounding([], ['ALL']), []);
  t.deepEqual(bounding(['CHOWN'], ['ALL']), ['CAP_CHOWN']);
  t.false(bounding(['ALL'], ['SYS_ADMIN']).includes('CAP_SYS_ADMIN'));
  t.throws(() => bounding(['FLY'], []), { ...invalid, message: /"FLY" is no capability/ });
  t.throws(() => bounding(['SYS_TIME'], [], new Set(['CHOWN'])), { ...invalid, message: /bounding set/ });
  t.is(capabilitySets(undefined, { privileged: true, available: everything }).effective.length, 41);
});

const files = {
  passwd: 'root:x:0:0:root:/root:/bin/sh\n# note\nwww:x:33:33::/var/www:\nbad:x:notanumber:1::/:\n',
  group: 'root:x:0:\nwww:x:33:\nextra:x:500:www,root\n',
};

test("users: request before image, names from the image's own files, Merge and Strict", (t) => {
  const context = (partial: Parameters<typeof LinuxContainerSecurityContext.create>[0]) =>
    LinuxContainerSecurityContext.create(partial);
  t.deepEqual(resolveUser(undefined, '', files), { uid: 0, gid: 0, supplementalGroups: [0, 500], home: '/root' });
  t.deepEqual(resolveUser(undefined, 'www', files), {
    uid: 33,
    gid: 33,
    supplementalGroups: [33, 500],
    home: '/var/www',
  });
  t.deepEqual(resolveUser(undefined, '1003:1004', files), {
    uid: 1003,
    gid: 1004,
    supplementalGroups: [1004],
    home: '/',
  });
  t.is(resolveUser(context({ runAsUser: { value: 33n } }), '5', files).gid, 33);
  t.is(resolveUser(context({ runAsUsername: 'www' }), '5', files).uid, 33);
  t.deepEqual(
    resolveUser(
      context({ runAsUser: { value: 33n }, supplementalGroups: [7n], supplementalGroupsPolicy: 1 }),
      '',
      files,
    ).supplementalGroups,
    [7, 33],
  );
  t.throws(() => resolveUser(context({ runAsGroup: { value: 1n } }), '', files), invalid);
  t.throws(() => resolveUser(context({ runAsUsername: 'nobody' }), '', files), {
    ...invalid,
    message: /not in the image/,
  });
  t.throws(() => resolveUser(context({ runAsUser: { value: -1n } }), '', files), invalid);
  t.throws(() => resolveUser(undefined, 'www:nogroup', files), { ...invalid, message: /nogroup/ });
});

test('users: any bytes in passwd and group give ids or a clear refusal', (t) => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (passwd, group, user) => {
      try {
        const { uid, gid } = resolveUser(undefined, user, { passwd, group });
        t.true(Number.isInteger(uid) && uid >= 0 && uid < 2 ** 32 && Number.isInteger(gid) && gid >= 0);
      } catch (error) {
        t.true(error instanceof CriError && error.code === StatusCode.INVALID_ARGUMENT);
      }
    }),
    { numRuns: 2000 },
  );
});

test('resources: zero means not given, swap follows memory, nonsense is refused', (t) => {
  const limits = (partial: Parameters<typeof LinuxContainerResources.create>[0], able = true) =>
    ociResources(LinuxContainerResources.create(partial), 'r', {
      swapAccounting: able,
      hugetlbController: able,
      unifiedCgroups: false,
    });
  t.deepEqual(limits({}), {});
  t.deepEqual(limits({ cpuShares: 1n, cpuQuota: -1n, cpuPeriod: 100_000n, cpusetCpus: '0-1,3' }).cpu, {
    shares: 2,
    period: 100_000,
    cpus: '0-1,3',
  });
  const lifted = LinuxContainerResources.create({ cpuQuota: -1n });
  const machine = { swapAccounting: true, hugetlbController: true, unifiedCgroups: false };
  t.true((ociResources(lifted, 'r', machine, { isUpdate: true }).cpu?.quota ?? 0) > 1e12);
  t.is(ociResources(lifted, 'r', { ...machine, unifiedCgroups: true }, { isUpdate: true }).cpu?.quota, -1);
  t.deepEqual(limits({ memoryLimitInBytes: 64n }).memory, { limit: 64, swap: 64 });
  t.deepEqual(limits({ memoryLimitInBytes: 64n }, false).memory, { limit: 64 });
  t.deepEqual(limits({ memoryLimitInBytes: 64n, memorySwapLimitInBytes: 128n }).memory, { limit: 64, swap: 128 });
  t.deepEqual(limits({ cpusetMems: '0' }).cpu, { mems: '0' });
  t.deepEqual(limits({ unified: { 'memory.high': '1M' } }).unified, { 'memory.high': '1M' });
  for (const bad of [
    { cpuShares: -1n },
    { cpuPeriod: 1n },
    { cpuQuota: 5n },
    { cpusetCpus: '0;rm' },
    { memoryLimitInBytes: -5n },
    { memoryLimitInBytes: 64n, memorySwapLimitInBytes: 1n },
    { memoryLimitInBytes: 2n ** 60n },
    { unified: { '../memory.max': '1' } },
    { hugepageLimits: [{ pageSize: '2M', limit: 0n }] },
  ]) {
    t.throws(() => limits(bad), invalid, JSON.stringify(Object.keys(bad)));
  }
  const pages = (limit: bigint) => ({ hugepageLimits: [{ pageSize: '2MB', limit }] });
  t.deepEqual(limits(pages(4n)).hugepageLimits, [{ pageSize: '2MB', limit: 4 }]);
  t.deepEqual(limits(pages(0n), false), {});
  t.throws(() => limits(pages(4n), false), { message: /hugepage_limits\[0\].*no hugetlb/ });
});

test("signals by every name, number and real-time offset; CRI's own numbers there and back", (t) => {
  t.is(signalNumber('SIGTERM'), 15);
  t.is(signalNumber('quit'), 3);
  t.is(signalNumber('9'), 9);
  t.is(signalNumber('SIGRTMIN+3'), 37);
  t.is(signalNumber('RTMAX-1'), 63);
  for (const bad of ['', '0', '65', 'SIGNOPE', 'RTMIN-1', 'RTMIN+31', 'RTMAX+1', '__proto__'])
    t.is(signalNumber(bad), undefined, bad);
  t.is(stopSignal(Signal.SIGNAL_RUNTIME_DEFAULT, 'SIGQUIT'), 3);
  t.is(stopSignal(Signal.SIGNAL_RUNTIME_DEFAULT, 'nonsense'), 15);
  t.is(stopSignal(Signal.SIGNAL_SIGRTMINPLUS3, ''), 37);
  t.throws(() => stopSignal(99 as Signal, ''), invalid);
  t.is(criSignal(15), Signal.SIGNAL_SIGTERM);
  for (const [name, value] of Object.entries(Signal)) {
    if (value !== Signal.SIGNAL_RUNTIME_DEFAULT)
      t.is(signalNumber(String(stopSignal(criSignal(stopSignal(value, '')), ''))), stopSignal(value, ''), name);
  }
});

test("mounts: the request's replace the pod's own, links on the host are resolved, a missing source is refused", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mounts-'));
  t.teardown(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'hosts'), '');
  await symlink(join(folder, 'hosts'), join(folder, 'link'));
  const pod = {
    files: { resolvConf: '/p/resolv.conf', hostname: '/p/hostname', hosts: '/p/hosts', shm: '/p/shm' },
    hostIpc: false,
    hostNetwork: false,
    userNamespace: false,
  };
  const root = join(folder, 'root');
  await mkdir(root);
  const mounts = async (partial: Parameters<typeof ContainerConfig.create>[0]) => {
    const config = ContainerConfig.create(partial);
    return containerMounts(config, pod, { targets: await mountTargets(root, config), declared: [], images: new Map() });
  };
  const made = await mounts({
    mounts: [{ containerPath: '/etc/hosts', hostPath: join(folder, 'link'), readonly: true, propagation: 1 }],
  });
  t.deepEqual(
    made.filter(({ destination }) => destination === '/etc/hosts'),
    [{ destination: '/etc/hosts', type: 'bind', source: join(folder, 'hosts'), options: ['rbind', 'rslave', 'ro'] }],
  );
  t.is(made.find(({ destination }) => destination === '/etc/resolv.conf')?.source, '/p/resolv.conf');
  const refused = (mount: object) =>
    t.throwsAsync(mounts({ mounts: [{ containerPath: '/m', hostPath: folder, ...mount }] }));
  t.regex(
    (await refused({ hostPath: join(folder, 'nothing') }))?.message ?? '',
    /mounts\[0\]\.host_path.*does not exist/,
  );
  t.regex((await refused({ containerPath: 'm' }))?.message ?? '', /container_path.*absolute/);
  for (const containerPath of ['/', '/x/..', '//']) {
    t.regex((await refused({ containerPath }))?.message ?? '', /container_path: cannot be the root/);
  }
  t.regex((await refused({ hostPath: '' }))?.message ?? '', /host_path/);
  t.regex((await refused({ recursiveReadOnly: true }))?.message ?? '', /recursive_read_only: needs readonly/);
  t.regex((await refused({ mountOptions: ['suid,exec'] }))?.message ?? '', /mount_options/);
});

test('the targets of mounts follow the links of the root, but not those below another mount', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'targets-'));
  t.teardown(() => rm(root, { recursive: true }));
  for (const [name, target] of Object.entries({ run: '/var/../none', out: '../../etc', loop: 'loop' })) {
    await symlink(target, join(root, name));
  }
  const targets = (...paths: string[]) =>
    mountTargets(root, ContainerConfig.create({ mounts: paths.map((containerPath) => ({ containerPath })) }));
  t.deepEqual(await targets('/run/x/', '/out/./y', '//a'), ['/none/x', '/etc/y', '/a']);
  t.deepEqual(await targets('/out', '/out/inner'), ['/etc', '/out/inner']);
  await t.throwsAsync(targets('/loop/x'), { ...invalid, message: /mounts\[0\]\.container_path/ });
  await t.throwsAsync(targets('/a', '/out/../..'), { ...invalid, message: /mounts\[1\].*root directory/ });
});

test('devices: a given one is allowed with its own permissions, what is no device is refused', async (t) => {
  const request = { hostPath: '/dev/zero', containerPath: '/dev/nil', permissions: 'rw' };
  const { devices, rules } = await containerDevices([request], false);
  t.like(devices, [{ path: '/dev/nil', type: 'c', major: 1, minor: 5 }]);
  t.deepEqual(rules.at(-1), { allow: true, type: 'c', major: 1, minor: 5, access: 'rw' });
  t.deepEqual(rules[0], { allow: false, access: 'rwm' });
  const all = await containerDevices([request], true);
  t.true(['/dev/nil', '/dev/null'].every((path) => all.devices.some((device) => device.path === path)));
  t.deepEqual(all.rules, [{ allow: true, access: 'rwm' }]);
  await t.throwsAsync(containerDevices([{ ...request, hostPath: '/etc/passwd' }], false), {
    ...invalid,
    message: /is no device/,
  });
  await t.throwsAsync(containerDevices([{ ...request, permissions: 'rwx' }], false), invalid);
});

test('seccomp: nil and Unconfined mean none, a file is taken as it is, RuntimeDefault fits the capabilities', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'seccomp-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const path = join(folder, 'profile.json');
  await writeFile(path, '{"defaultAction":"SCMP_ACT_ALLOW"}');
  const filter = (profileType: 0 | 1 | 2, localhostRef = '', privileged = false) =>
    seccompFilter(LinuxContainerSecurityContext.create({ privileged, seccomp: { profileType, localhostRef } }), [
      'CAP_SYS_CHROOT',
    ]);
  t.is(await seccompFilter(undefined, []), undefined);
  t.is(await filter(1), undefined);
  t.deepEqual(await filter(2, path), { defaultAction: 'SCMP_ACT_ALLOW' });
  t.is(await filter(2, path, true), undefined);
  const filtered = JSON.stringify(await filter(0));
  t.true(filtered.includes('"chroot"') && filtered.includes('"openat"'));
  t.false(filtered.includes('"mount"') || filtered.includes('"kexec_load"'));
  const old = (seccompProfilePath: string) =>
    seccompFilter(LinuxContainerSecurityContext.create({ seccompProfilePath }), ['CAP_SYS_CHROOT']);
  t.deepEqual(await old('runtime/default'), await filter(0));
  t.is(await old('unconfined'), undefined);
  t.deepEqual(await old(`localhost/${path}`), { defaultAction: 'SCMP_ACT_ALLOW' });
  await t.throwsAsync(old('my-profile'), { ...invalid, message: /seccomp_profile_path/ });
  await t.throwsAsync(filter(2, join(folder, 'none')), { message: /does not exist/ });
  await writeFile(path, '{}');
  await t.throwsAsync(filter(2, path), { message: /defaultAction/ });
  await writeFile(path, '{');
  await t.throwsAsync(filter(2, path), { message: /no JSON/ });
});
