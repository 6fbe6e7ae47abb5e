import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { run } from '../../../src/host/processes/run.ts';
import { identity } from '../../integration/sandbox-fixture.ts';
import { eventually } from '../../lib/eventually.ts';
import { ProxmoxGuest } from '../proxmox-guest.ts';

const MIB = 1_048_576;
const FOREVER = 'while :; do sleep 1; done';
/** Allocates 40 MiB of memory that cannot be reclaimed, and reports it. */
const TAKE_40_MIB =
  'dd if=/dev/zero of=/dev/shm-file bs=1M count=40 2>/dev/null; echo taken; while :; do sleep 1; done';

/** A cgroup of the kubelet for one pod, with the controllers for its children; it is removed after the test. */
async function kubeletCgroup(t: ExecutionContext, name: string): Promise<string> {
  const path = `/kubepods-${name}/burstable/pod1`;
  await mkdir(`/sys/fs/cgroup${path}`, { recursive: true });
  for (let at = path; at !== '/'; at = dirname(at)) {
    const above = dirname(at) === '/' ? '' : dirname(at);
    await writeFile(`/sys/fs/cgroup${above}/cgroup.subtree_control`, '+cpu +memory +pids').catch(() => undefined);
  }
  // Parents first: a controller must be available before it can be delegated.
  for (const at of ['', `/kubepods-${name}`, `/kubepods-${name}/burstable`, path]) {
    await writeFile(`/sys/fs/cgroup${at}/cgroup.subtree_control`, '+cpu +memory +pids');
  }
  t.teardown(async () => {
    for (let at = path; at !== '/'; at = dirname(at)) await rmdir(`/sys/fs/cgroup${at}`);
  });
  return path;
}

test.serial('a pod runs in a container that Proxmox started', async (t) => {
  const guest = await ProxmoxGuest.make(t);
  await guest.allow();
  await guest.start();
  const { namespaces } = await guest.placement();
  const id = await guest.container(
    'hostname; grep ^0: /proc/self/cgroup; echo oops >&2; trap "exit 7" TERM; echo ready; while :; do sleep 0.1; done',
  );
  await eventually('its trap', async () => (await guest.output(id)).endsWith('ready\n'));
  await eventually('the other stream', async () => (await guest.output(id, 'stderr')) !== '');
  const state = await guest.runner.inspect(id);
  const pid = state.status === 'running' ? state.pid : 0;
  for (const kind of ['net', 'ipc', 'uts'] as const) {
    const path = namespaces[kind === 'net' ? 'network' : kind];
    t.is(await identity(`/proc/${String(pid)}/ns/${kind}`), await identity(path ?? ''), kind);
  }
  const profile = (of: number) => readFile(`/proc/${String(of)}/attr/apparmor/current`, 'utf8');
  t.regex(await profile(await guest.init()), new RegExp(`^lxc-${guest.name}_`), "Proxmox's profile is the guest's");
  t.regex(await profile(pid), /^unconfined/, 'containers have their own or none');
  t.not(await identity(`/proc/${String(pid)}/ns/pid`), await identity(namespaces.pid ?? ''));
  t.is(
    await guest.output(id),
    `${guest.name}\n0::/lxc/${guest.name}/${id}\nready\n`.replace(guest.name, `CT${guest.name}`),
  );
  t.is(await guest.output(id, 'stderr'), 'oops\n');
  t.like(await guest.exec(id, 'echo in; exit 3'), { exitCode: 3, stdout: Buffer.from('in\n') });
  await guest.runner.signal(id, 15);
  t.like(await guest.exit(id), { exitCode: 7, oomKilled: false });
  t.true(await guest.isRunning(), 'a container that ends leaves the guest alone');
});

for (const unprivileged of [false, true]) {
  const kind = unprivileged ? 'unprivileged' : 'privileged';
  /** With the kind of guest on which it is tried, when not every one is. */
  const endings: [string, boolean, (guest: ProxmoxGuest) => Promise<unknown>][] = [
    ['stop (lxc-stop -k)', false, (guest) => guest.lxc('stop', '-k')],
    ['shutdown (lxc-stop)', true, (guest) => guest.lxc('stop', '-t', '5')],
    ['SIGKILL to its init', false, async (guest) => process.kill(await guest.init(), 'SIGKILL')],
    [
      'reboot from inside',
      true,
      async (guest) => run('nsenter', ['-t', String(await guest.init()), '-p', 'busybox', 'reboot', '-f']),
    ],
  ];
  for (const [how, chosen, end] of endings) {
    if (unprivileged !== chosen && process.env['EVERY_HANDLER'] !== '1') continue;
    test.serial(`${kind} guest ended by ${how}: its containers' exit codes`, async (t) => {
      const guest = await ProxmoxGuest.make(t, { unprivileged });
      await guest.allow();
      await guest.start();
      const id = await guest.container(`trap "" TERM; ${FOREVER}`);
      await end(guest);
      t.like(await guest.exit(id), { exitCode: 137 });
      await guest.ended();
      t.false(await guest.isRunning());
      // Proxmox's own pre-start hook does this before it starts a guest, and fails if anything is left.
      await run('find', [`/sys/fs/cgroup${guest.cgroup}`, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';']).catch(
        () => undefined,
      );
      await t.throwsAsync(readFile(`/sys/fs/cgroup${guest.cgroup}/cgroup.procs`), { code: 'ENOENT' });
      await t.throwsAsync(guest.start(), { message: /this container is a Kubernetes pod that has ended/ });
      t.false(await guest.isRunning());
      await guest.allow();
      await guest.start();
      t.true(await guest.isRunning(), 'with a new permit it starts');
    });
  }
}

for (const place of ["Proxmox's own cgroup", "the kubelet's cgroup"] as const) {
  const kubelet = place !== "Proxmox's own cgroup";
  test.serial(`in ${place}: who can see resource usage`, async (t) => {
    const parent = await kubeletCgroup(t, kubelet ? 'a' : 'b');
    const guest = await ProxmoxGuest.make(t, kubelet ? { cgroupParent: parent } : {});
    await guest.allow();
    await guest.start();
    const id = await guest.container(TAKE_40_MIB.replace('/dev/shm-file', '/dev/file'));
    await eventually('the memory', async () => (await guest.output(id)).includes('taken'));
    const memory = async (cgroup: string) => Number(await guest.read('memory.current', cgroup));
    // Proxmox asks liblxc's monitor for the guest's cgroup and reads usage there.
    t.is(await guest.limitingCgroup(), guest.cgroup);
    const proxmox = await memory(await guest.limitingCgroup());
    t.log(place, { proxmox: proxmox / MIB, kubelet: (await memory(parent)) / MIB });
    t.true(proxmox > 40 * MIB, 'Proxmox sees it');
    t.is((await memory(parent)) > 40 * MIB, kubelet, 'the kubelet sees it');
    t.is(await guest.read('memory.max'), String(512 * MIB), "Proxmox's limit holds the containers");
    const pressure = await readFile(`/sys/fs/cgroup/lxc/${guest.name}/memory.pressure`).then(
      () => true,
      () => false,
    );
    t.is(pressure, !kubelet, 'Proxmox reads its pressure graph at a fixed place');
    if (!kubelet) return;
    // Limits that the kubelet writes to the pod's cgroup apply to its containers.
    await writeFile(`/sys/fs/cgroup${parent}/memory.max`, String(30 * MIB));
    t.like(await guest.exit(id), { exitCode: 137 });
  });
}

test.serial('a container over its own limit ends as OOMKilled', async (t) => {
  const limit = 64;
  // Proxmox sets memory.high to 1016/1024 of the limit: the guest must be larger than its containers' limits.
  const guest = await ProxmoxGuest.make(t, { memory: Math.ceil(((limit + 8) * 1024) / 1016) });
  await guest.allow();
  await guest.start();
  const id = await guest.container('dd if=/dev/zero of=/dev/file bs=1M count=200', {
    resources: { memory: { limit: limit * MIB, swap: limit * MIB } },
  });
  t.like(await guest.exit(id), { exitCode: 137, oomKilled: true });
});

test.serial("containers follow their own device rules, not Proxmox's", async (t) => {
  const guest = await ProxmoxGuest.make(t);
  await guest.allow();
  await guest.start();
  const open = 'mknod /dev/m c 1 1 && head -c 0 /dev/m && echo opened';
  const devices = [
    { allow: false, access: 'rwm' },
    { allow: true, type: 'c', major: 1, minor: 1, access: 'rwm' },
  ];
  const caps = ['CAP_MKNOD', 'CAP_SYS_RAWIO'];
  const change = (spec: { process: { capabilities?: unknown } }) => {
    spec.process.capabilities = { bounding: caps, effective: caps, permitted: caps, inheritable: [], ambient: [] };
  };
  const allowed = await guest.container(open, { resources: { devices }, change });
  t.like(await guest.exit(allowed), { exitCode: 0 });
  const refused = await guest.container(open, { resources: { devices: [{ allow: false, access: 'rwm' }] }, change });
  t.not((await guest.exit(refused)).exitCode, 0);
});

test.serial("a shared PID namespace uses the guest's init", async (t) => {
  const guest = await ProxmoxGuest.make(t);
  await guest.allow();
  await guest.start();
  const { namespaces } = await guest.placement();
  const id = await guest.container(
    '(sleep 0.2 & exec sleep 0.1) & sleep 1; ls /proc | grep -c "^[0-9]"; cat /proc/1/comm',
    {
      change: (spec) => {
        spec.linux.namespaces = spec.linux.namespaces.map((each) =>
          each.type === 'pid' ? { type: 'pid', path: namespaces.pid ?? '' } : each,
        );
      },
    },
  );
  t.like(await guest.exit(id), { exitCode: 0 });
  t.is((await guest.output(id)).split('\n')[1], 'catatonit');
});

test.serial("a host-network pod uses the node's network and UTS", async (t) => {
  const guest = await ProxmoxGuest.make(t, {
    include: [
      ['lxc.namespace.keep', 'user net uts'],
      ['lxc.uts.name', ''],
    ],
  });
  await guest.allow();
  await guest.start();
  const pid = await guest.init();
  for (const kind of ['net', 'uts']) {
    t.is(await identity(`/proc/${String(pid)}/ns/${kind}`), await identity(`/proc/self/ns/${kind}`), kind);
  }
  t.not(await identity(`/proc/${String(pid)}/ns/ipc`), await identity('/proc/self/ns/ipc'));
});

test.serial('containers join the id mapping of an unprivileged guest', async (t) => {
  const guest = await ProxmoxGuest.make(t, { unprivileged: true });
  await guest.allow();
  await guest.start();
  const pid = await guest.init();
  const mapping = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  const id = await guest.container('id -u; cat /proc/self/uid_map; touch /tmp/mine && stat -c %u /tmp/mine; hostname', {
    change: (spec) => {
      spec.linux.namespaces.push({ type: 'user', path: `/proc/${String(pid)}/ns/user` });
      spec.linux.uidMappings = mapping;
      spec.linux.gidMappings = mapping;
    },
  });
  t.like(await guest.exit(id), { exitCode: 0 }, await guest.output(id, 'stderr'));
  t.deepEqual(
    (await guest.output(id)).split('\n').map((line) => line.trim().replace(/ +/g, ' ')),
    ['0', '0 100000 65536', '0', `CT${guest.name}`, ''],
  );
});
