import test from 'ava';
import fc from 'fast-check';
import { mkdir, mkdtemp, rm, rmdir, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ContainerConfig, LinuxContainerSecurityContext } from '../../../../api/gen/cri.ts';
import { capabilitySets } from '../../../../src/core/lifecycle/oci/capabilities.ts';
import { capabilitiesOfMask } from '../../../../src/core/model/capabilities.ts';
import { containerDevices } from '../../../../src/core/lifecycle/oci/devices.ts';
import type { MountFacts } from '../../../../src/core/model/platform-files.ts';
import { HostFiles } from '../../../../src/host/platform/host-files.ts';
import { mountTargets } from '../../../../src/core/lifecycle/containers/mount-targets.ts';
import { containerMounts } from '../../../../src/core/lifecycle/oci/mounts.ts';
import { containerArgs, containerCwd, containerEnv } from '../../../../src/core/lifecycle/oci/process.ts';
import { limitsUpdate, ociResources } from '../../../../src/core/lifecycle/oci/resources.ts';
import { seccompFilter } from '../../../../src/core/lifecycle/oci/security.ts';
import { imageStopSignal, signalNumber } from '../../../../src/core/lifecycle/oci/signals.ts';
import { USER_FILE_BYTES, userFiles } from '../../../../src/core/lifecycle/oci/user-files.ts';
import { resolveUser } from '../../../../src/core/lifecycle/oci/users.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { mergeLimits } from '../../../../src/core/model/resources.ts';
import type { ResourceLimits } from '../../../../src/core/model/resources.ts';
import { containerSpec } from '../../../../src/cri/map/container-spec.ts';
import { containerSecurity } from '../../../../src/cri/map/security.ts';

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
const asked = (partial: Parameters<typeof ContainerConfig.create>[0]) =>
  containerSpec(ContainerConfig.create({ metadata: { name: 'c' }, image: { image: 'i' }, ...partial }));
const secured = (partial?: Parameters<typeof LinuxContainerSecurityContext.create>[0]) =>
  containerSecurity(partial && LinuxContainerSecurityContext.create(partial));
const everything = capabilitiesOfMask((1n << 41n) - 1n);
const invalid = { instanceOf: CriError, code: StatusCode.INVALID_ARGUMENT } as const;

const hostFiles = new HostFiles();

test('command and args replace entrypoint and cmd as documented', (t) => {
  const argv = (command: string[], args: string[]) => containerArgs({ command, args }, image);
  t.deepEqual(argv([], []), ['/entry', 'cmd']);
  t.deepEqual(argv([], ['x']), ['/entry', 'x']);
  t.deepEqual(argv(['/c'], []), ['/c']);
  t.deepEqual(argv(['/c'], ['x']), ['/c', 'x']);
  t.throws(() => containerArgs(asked({}), { ...image, Entrypoint: [], Cmd: [] }), {
    message: /the image has no command/,
  });
  t.throws(() => containerArgs(asked({}), { ...image, Cmd: ['a\0b'] }), {
    message: /the image's Entrypoint and Cmd.*NUL/,
  });
});

test('environment: defaults, image, then request', (t) => {
  const facts = { hostname: 'pod', home: '/root' };
  const value = 'line\nbreak "quoted" $(id) =é';
  t.deepEqual(containerEnv({ env: [{ name: 'A', value }], tty: true }, image, facts), [
    'PATH=/bin',
    'TERM=xterm',
    'HOSTNAME=pod',
    'HOME=/root',
    `A=${value}`,
    'B=image',
  ]);
});

test('the working directory is absolute: request, image or /', (t) => {
  t.is(containerCwd('/w', image), '/w');
  t.is(containerCwd('', image), '/srv');
  t.is(containerCwd('', { ...image, WorkingDir: '' }), '/');
  t.throws(() => containerCwd('', { ...image, WorkingDir: 'w' }), invalid);
});

test('capabilities: ALL first, then adds, then drops', (t) => {
  const bounding = (
    addCapabilities: string[],
    dropCapabilities: string[],
    available: ReadonlySet<string> = everything,
  ) => capabilitySets(secured({ capabilities: { addCapabilities, dropCapabilities } }), available).bounding;
  t.is(bounding([], []).length, 14);
  t.true(bounding(['net_admin'], []).includes('CAP_NET_ADMIN'));
  t.false(bounding([], ['CAP_CHOWN']).includes('CAP_CHOWN'));
  t.is(bounding(['ALL'], []).length, 41);
  t.deepEqual(bounding([], ['ALL']), []);
  t.deepEqual(bounding(['CHOWN'], ['ALL']), ['CAP_CHOWN']);
  t.false(bounding(['ALL'], ['SYS_ADMIN']).includes('CAP_SYS_ADMIN'));
  t.throws(() => bounding(['SYS_TIME'], [], new Set(['CHOWN'])), { ...invalid, message: /bounding set/ });
  t.is(capabilitySets(secured({ privileged: true }), everything).effective.length, 41);
  const ambient = capabilitySets(secured({ capabilities: { addAmbientCapabilities: ['SYS_TIME'] } }), everything);
  t.deepEqual(ambient.ambient, ['CAP_SYS_TIME']);
});

const files = {
  passwd: 'root:x:0:0:root:/root:/bin/sh\n# note\nwww:x:33:33::/var/www:\nbad:x:notanumber:1::/:\n',
  group: 'root:x:0:\nwww:x:33:\nextra:x:500:www,root\n',
};

test("users: request before image, names from the image's files", (t) => {
  const context = (partial: Parameters<typeof LinuxContainerSecurityContext.create>[0]) => secured(partial).user;
  const none = secured().user;
  t.deepEqual(resolveUser(none, '', files), { uid: 0, gid: 0, supplementalGroups: [0, 500], home: '/root' });
  t.deepEqual(resolveUser(none, 'www', files), {
    uid: 33,
    gid: 33,
    supplementalGroups: [33, 500],
    home: '/var/www',
  });
  t.deepEqual(resolveUser(none, '1003:1004', files), {
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
  t.throws(() => resolveUser(context({ runAsUsername: 'nobody' }), '', files), {
    ...invalid,
    message: /not in the image/,
  });
  t.throws(() => resolveUser(none, 'www:nogroup', files), { ...invalid, message: /nogroup/ });
});

test('users: any passwd and group bytes resolve or fail', (t) => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (passwd, group, user) => {
      try {
        const { uid, gid } = resolveUser(secured().user, user, { passwd, group });
        t.true(Number.isInteger(uid) && uid >= 0 && uid < 2 ** 32 && Number.isInteger(gid) && gid >= 0);
      } catch (error) {
        t.true(error instanceof CriError && error.code === StatusCode.INVALID_ARGUMENT);
      }
    }),
    { numRuns: 2000 },
  );
});

const machine = { swapAccounting: true, hugetlbController: true, unifiedCgroups: false };

test('users: an oversized or special passwd file is refused', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'users-'));
  t.teardown(() => rm(root, { recursive: true }));
  await mkdir(join(root, 'etc/group'), { recursive: true });
  const passwd = join(root, 'etc/passwd');
  await writeFile(passwd, '#'.repeat(USER_FILE_BYTES + 1));
  await t.throwsAsync(userFiles(hostFiles, root), {
    ...invalid,
    message: /the image: \/etc\/passwd: .* 1048576 bytes/,
  });
  await truncate(passwd, USER_FILE_BYTES);
  await t.throwsAsync(userFiles(hostFiles, root), { ...invalid, message: /the image: \/etc\/group: .*regular file/ });
  await rmdir(join(root, 'etc/group'));
  t.deepEqual(await userFiles(hostFiles, root), { passwd: '#'.repeat(USER_FILE_BYTES), group: '' });
});

test('a new container has all limits; swap follows memory', (t) => {
  const limits = (partial: ResourceLimits, able = true) =>
    ociResources(partial, { ...machine, swapAccounting: able, hugetlbController: able });
  t.deepEqual(limits({}), {});
  t.deepEqual(limits({ cpuShares: 2, cpuQuota: 'unlimited', cpuPeriod: 100_000, cpusetCpus: '0-1,3' }).cpu, {
    shares: 2,
    period: 100_000,
    cpus: '0-1,3',
  });
  t.deepEqual(limits({ memory: 64 }).memory, { limit: 64, swap: 64 });
  t.deepEqual(limits({ memory: 64 }, false).memory, { limit: 64 });
  t.deepEqual(limits({ memory: 64, memorySwap: 128 }).memory, { limit: 64, swap: 128 });
  t.deepEqual(limits({ memory: 64, memorySwap: 'unlimited' }).memory, { limit: 64 });
  t.deepEqual(limits({ memory: 'unlimited' }), {});
  t.deepEqual(limits({ cpusetMems: '0' }).cpu, { mems: '0' });
  t.deepEqual(limits({ unified: { 'memory.high': '1M' } }).unified, { 'memory.high': '1M' });
  const pages = (limit: number | 'unlimited') => ({ hugepages: [{ pageSize: '2MB', limit }] });
  t.deepEqual(limits(pages(4)).hugepageLimits, [{ pageSize: '2MB', limit: 4 }]);
  t.deepEqual(limits(pages(0), false), {});
  t.deepEqual(limits(pages('unlimited')), {});
  t.throws(() => limits(pages(4), false), { message: /hugepage_limits\[0\].*no hugetlb/ });
});

test('an update changes and lifts only named limits', (t) => {
  const update = (partial: ResourceLimits, before: ResourceLimits = {}, unifiedCgroups = false) =>
    limitsUpdate(partial, mergeLimits(before, partial), { ...machine, unifiedCgroups });
  t.deepEqual(update({}, { memory: 64, cpuQuota: 5000 }), {});
  t.deepEqual(update({ cpuShares: 5 }, { memory: 64 }), { cpu: { shares: 5 } });
  t.true((update({ cpuQuota: 'unlimited' }).cpu?.quota ?? 0) > 1e12);
  t.deepEqual(update({ cpuQuota: 'unlimited' }, {}, true).cpu, { quota: -1, period: 100_000 });
  t.deepEqual(update({ cpuPeriod: 50_000 }, { cpuQuota: 25_000 }).cpu, { quota: 25_000, period: 50_000 });
  t.deepEqual(update({ cpuQuota: 25_000 }, { cpuPeriod: 50_000 }).cpu, { quota: 25_000, period: 50_000 });
  t.deepEqual(update({ memory: 'unlimited' }, { memory: 64 }).memory, { limit: -1, swap: -1 });
  t.deepEqual(update({ memory: 100 }, { memory: 64, memorySwap: 128 }).memory, { limit: 100, swap: 128 });
  t.deepEqual(update({ memory: 200 }, { memory: 64, memorySwap: 128 }).memory, { limit: 200, swap: 200 });
  t.deepEqual(update({ memory: 200 }, { memory: 64, memorySwap: 'unlimited' }).memory, { limit: 200, swap: -1 });
});

test('unnamed limits are kept by an update', (t) => {
  const before: ResourceLimits = {
    memory: 64,
    cpuShares: 512,
    hugepages: [
      { pageSize: '2MB', limit: 1 },
      { pageSize: '1GB', limit: 0 },
    ],
    unified: { 'memory.high': '1M', 'io.weight': '5' },
  };
  t.deepEqual(
    mergeLimits(before, {
      cpuQuota: 5000,
      hugepages: [{ pageSize: '2MB', limit: 2 }],
      unified: { 'io.weight': '6' },
    }),
    {
      memory: 64,
      cpuShares: 512,
      cpuQuota: 5000,
      hugepages: [
        { pageSize: '1GB', limit: 0 },
        { pageSize: '2MB', limit: 2 },
      ],
      unified: { 'memory.high': '1M', 'io.weight': '6' },
    },
  );
  t.deepEqual(mergeLimits(undefined, { memory: 1 }), { memory: 1 });
});

test('signals have names, numbers and real-time offsets', (t) => {
  t.is(signalNumber('SIGTERM'), 15);
  t.is(signalNumber('quit'), 3);
  t.is(signalNumber('9'), 9);
  t.is(signalNumber('SIGRTMIN+3'), 37);
  t.is(signalNumber('RTMAX-1'), 63);
  for (const bad of ['', '0', '65', 'SIGNOPE', 'RTMIN-1', 'RTMIN+31', 'RTMAX+1', '__proto__'])
    t.is(signalNumber(bad), undefined, bad);
  t.is(imageStopSignal('SIGQUIT'), 3);
  t.is(imageStopSignal('nonsense'), 15);
  t.is(imageStopSignal(''), 15);
});

test("mounts replace the pod's, follow links, and keep restrictions", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'mounts-'));
  t.teardown(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, 'hosts'), '');
  await symlink(join(directory, 'hosts'), join(directory, 'link'));
  const pod = {
    files: { resolvConf: '/p/resolv.conf', hostname: '/p/hostname', hosts: '/p/hosts', shm: '/p/shm' },
    hostIpc: false,
    hostNetwork: false,
    userNamespace: false,
  };
  const root = join(directory, 'root');
  await mkdir(root);
  const on: MountFacts = {
    mountPoint: '/v',
    root: '/',
    type: 'ext4',
    restrictions: ['noexec'],
    shared: false,
    slave: true,
  };
  const files = Object.assign(new HostFiles(), { mountOf: () => Promise.resolve(on) });
  const refused = join(directory, 'refused');
  const mounts = async (partial: Parameters<typeof ContainerConfig.create>[0]) => {
    const spec = asked(partial);
    const targets = await mountTargets(files, root, spec.mounts);
    return containerMounts(files, spec, pod, {
      targets,
      declared: [],
      images: new Map(),
      absentSourcesToReject: [`${refused}/`],
    });
  };
  const made = await mounts({
    mounts: [{ containerPath: '/etc/hosts', hostPath: join(directory, 'link'), readonly: true, propagation: 1 }],
  });
  t.deepEqual(
    made.filter(({ destination }) => destination === '/etc/hosts'),
    [
      {
        destination: '/etc/hosts',
        type: 'bind',
        source: join(directory, 'hosts'),
        options: ['rbind', 'rslave', 'ro', 'noexec'],
      },
    ],
  );
  t.is(made.find(({ destination }) => destination === '/etc/resolv.conf')?.source, '/p/resolv.conf');
  const mounted = (mount: object) => mounts({ mounts: [{ containerPath: '/m', hostPath: directory, ...mount }] });
  await mounted({ hostPath: join(directory, 'made/here') });
  t.true((await stat(join(directory, 'made/here'))).isDirectory());
  for (const mount of [
    { hostPath: `${directory}/./refused` },
    { hostPath: join(directory, 'absent'), containerPath: '/proc' },
  ]) {
    await t.throwsAsync(mounted(mount), { ...invalid, message: /mounts\[0\]\.host_path: .* it does not exist/ });
  }
  await t.throwsAsync(stat(refused), { code: 'ENOENT' });
  await t.throwsAsync(stat(join(directory, 'absent')), { code: 'ENOENT' });
  await mkdir(refused);
  await mounted({ hostPath: refused });
  await t.throwsAsync(mounted({ hostPath: join(directory, 'hosts/below') }), {
    ...invalid,
    message: /mounts\[0\]\.host_path: .*hosts\/below/,
  });
  for (const containerPath of ['/proc', '/proc/sys/kernel', '/sys']) {
    await t.throwsAsync(mounted({ containerPath }), { ...invalid, message: /mounts\[0\]\.container_path: / });
  }
  for (const containerPath of ['/proc/cpuinfo', '/sys/fs/bpf', '/process']) {
    t.true((await mounted({ containerPath })).some(({ destination }) => destination === containerPath));
  }
  for (const [containerPath, type] of [
    ['/proc', 'proc'],
    ['/sys', 'sysfs'],
  ] as const) {
    on.type = type;
    t.true((await mounted({ containerPath })).some(({ source }) => source === directory));
  }
  await t.throwsAsync(mounted({ propagation: 2 }), { ...invalid, message: /mounts\[0\]\.propagation: .*not shared/ });
});

test('mount targets follow links of roots and other mounts', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'targets-'));
  t.teardown(() => rm(root, { recursive: true }));
  for (const [name, target] of Object.entries({ run: '/var/../none', out: '../../etc', loop: 'loop', top: '/' })) {
    await symlink(target, join(root, name));
  }
  const targets = (...paths: string[]) =>
    mountTargets(
      hostFiles,
      root,
      asked({ mounts: paths.map((containerPath) => ({ containerPath, hostPath: '/h' })) }).mounts,
    );
  t.deepEqual(await targets('/run/x/', '/out/./y', '//a'), ['/none/x', '/etc/y', '/a']);
  t.deepEqual(await targets('/out', '/out/inner'), ['/etc', '/etc/inner']);
  const volume = join(root, 'volume');
  await mkdir(volume);
  for (const [name, target] of Object.entries({ relative: '../made/file', absolute: '/run/y', self: 'self' }))
    await symlink(target, join(volume, name));
  const within = (...paths: string[]) =>
    mountTargets(
      hostFiles,
      root,
      asked({ mounts: paths.map((containerPath) => ({ containerPath, hostPath: volume })) }).mounts,
    );
  t.deepEqual(await within('/v/relative', '/v/absolute', '/v'), ['/made/file', '/none/y', '/v']);
  await t.throwsAsync(within('/v', '/v/self'), { ...invalid, message: /mounts\[1\]\.container_path/ });
  await t.throwsAsync(targets('/loop/x'), { ...invalid, message: /mounts\[0\]\.container_path/ });
  await t.throwsAsync(targets('/a', '/top'), { ...invalid, message: /mounts\[1\].*root directory/ });
});

test('devices keep their permissions; other files are refused', async (t) => {
  const request = { hostPath: '/dev/zero', containerPath: '/dev/nil', permissions: 'rw' };
  const { devices, rules } = await containerDevices(hostFiles, [request], false);
  t.like(devices, [{ path: '/dev/nil', type: 'c', major: 1, minor: 5 }]);
  t.deepEqual(rules.at(-1), { allow: true, type: 'c', major: 1, minor: 5, access: 'rw' });
  t.deepEqual(rules[0], { allow: false, access: 'rwm' });
  const all = await containerDevices(hostFiles, [request], true);
  t.true(['/dev/nil', '/dev/null'].every((path) => all.devices.some((device) => device.path === path)));
  t.deepEqual(all.rules, [{ allow: true, access: 'rwm' }]);
  await t.throwsAsync(containerDevices(hostFiles, [{ ...request, hostPath: '/etc/passwd' }], false), {
    ...invalid,
    message: /is not a device/,
  });
});

test('seccomp: unconfined, localhost file and RuntimeDefault', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'seccomp-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const path = join(directory, 'profile.json');
  await writeFile(path, '{"defaultAction":"SCMP_ACT_ALLOW"}');
  const of = async (context?: Parameters<typeof secured>[0]) =>
    seccompFilter(hostFiles, secured(context).seccomp, ['CAP_SYS_CHROOT']);
  const filter = (profileType: 0 | 1 | 2, localhostRef = '', privileged = false) =>
    of({ privileged, seccomp: { profileType, localhostRef } });
  t.is(await of(), undefined);
  t.is(await of({}), undefined);
  t.is(await filter(1), undefined);
  t.deepEqual(await filter(2, path), { defaultAction: 'SCMP_ACT_ALLOW' });
  t.is(await filter(2, path, true), undefined);
  const filtered = JSON.stringify(await filter(0));
  t.true(filtered.includes('"chroot"') && filtered.includes('"openat"'));
  t.false(filtered.includes('"mount"') || filtered.includes('"kexec_load"'));
  const old = (seccompProfilePath: string) => of({ seccompProfilePath });
  t.deepEqual(await old('runtime/default'), await filter(0));
  t.is(await old('unconfined'), undefined);
  t.deepEqual(await old(`localhost/${path}`), { defaultAction: 'SCMP_ACT_ALLOW' });
  await t.throwsAsync(old('my-profile'), { ...invalid, message: /seccomp_profile_path/ });
  await t.throwsAsync(filter(2, join(directory, 'none')), { message: /does not exist/ });
  await writeFile(path, '{}');
  await t.throwsAsync(filter(2, path), { message: /defaultAction/ });
  await writeFile(path, '{');
  await t.throwsAsync(filter(2, path), { message: /not valid JSON/ });
  await truncate(path, 4 * 1024 * 1024 + 1);
  await t.throwsAsync(filter(2, path), { message: /larger than 4194304 bytes/ });
});
