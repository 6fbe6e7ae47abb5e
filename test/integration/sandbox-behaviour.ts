import type { ExecutionContext, TestFn } from 'ava';
import { readFile } from 'node:fs/promises';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import type { Logger } from '../../src/core/model/logger.ts';
import type { SandboxHandle, SandboxProvider, SandboxSpec } from '../../src/core/model/sandbox-provider.ts';
import { run } from '../../src/host/processes/run.ts';
import { inventory, leftovers } from './leaks.ts';
import { eventually } from '../lib/eventually.ts';
import { nameOf, processesBelow, stateOf } from '../lib/processes.ts';
import { processesWith } from './runner-fixture.ts';
import { SandboxFixture, identity, inside, own, parentOf } from './sandbox-fixture.ts';

/** Opens an ICMP echo socket, and listens on a low port. */
const unprivileged =
  'socket(my $echo, PF_INET, SOCK_DGRAM, 1) or die "echo: $!"; socket(my $tcp, PF_INET, SOCK_STREAM, 6); ' +
  'bind($tcp, sockaddr_in(80, INADDR_ANY)) or die "bind: $!"';

/** The contract of every sandbox provider, as tests. */
export function behavesAsProvider(test: TestFn, make: (state: string, logger: Logger) => SandboxProvider): void {
  const serial = test.serial;

  serial('a pod has its own hostname, sysctls and cgroup', async (t) => {
    const fixture = await SandboxFixture.make(t, make);
    t.is(await fixture.provider.unavailableBecause(), undefined);
    const sysctls = { 'net.ipv4.ip_unprivileged_port_start': '80', 'net.ipv4.ip_local_port_range': '2000\t3000' };
    const spec = await fixture.spec({ hostname: 'web-0', sysctls: { ...sysctls, 'kernel.shm_rmid_forced': '1' } });
    const placement = await fixture.run(spec);
    t.deepEqual(Object.keys(placement.namespaces).sort(), ['ipc', 'network', 'uts']);
    t.is(await inside(placement, 'cat', '/proc/sys/kernel/hostname'), 'web-0');
    const links = await inside(placement, 'ip', '-br', 'link');
    t.regex(links, /^lo +UNKNOWN [^\n]*<LOOPBACK,UP,LOWER_UP>[^\n]*$/);
    t.is(await inside(placement, 'cat', '/proc/sys/net/ipv4/ip_unprivileged_port_start'), '80');
    t.is(await inside(placement, 'cat', '/proc/sys/net/ipv4/ip_local_port_range'), '2000\t3000');
    t.is(await inside(placement, 'cat', '/proc/sys/kernel/shm_rmid_forced'), '1');
    t.is(placement.cgroup, `${fixture.cgroup}/kubepods/besteffort/pod1/${spec.id}`);
    t.not(await identity(placement.namespaces.ipc ?? ''), await own('ipc'));
    t.deepEqual(await fixture.run(spec), placement, 'a repeated start finds the first');
  });

  serial('low ports and ping need no capability', async (t) => {
    const fixture = await SandboxFixture.make(t, make);
    for (const userNamespace of [undefined, { hostId: 300_000, size: 65_536 }]) {
      const last = userNamespace === undefined ? '2147483647' : '65535';
      const sysctls = { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': `0 ${last}` };
      const spec = await fixture.spec({ sysctls, ...(userNamespace !== undefined && { userNamespace }) });
      const placement = await fixture.run(spec);
      const nobody = ['setpriv', '--reuid=300099', '--regid=300099', '--clear-groups', '--bounding-set=-all'];
      await inside(placement, ...nobody, '--', 'perl', '-MSocket', '-e', unprivileged);
      t.regex(await inside(placement, 'cat', '/proc/sys/net/ipv4/ping_group_range'), /^\d+\t\d+$/);
      t.is(await inside(placement, 'cat', '/proc/sys/net/ipv4/ip_unprivileged_port_start'), '0');
    }
  });

  serial('host network, host IPC and a shared PID namespace', async (t) => {
    const fixture = await SandboxFixture.make(t, make);
    const host = await fixture.run(await fixture.spec({ network: 'node', ipc: 'node', hostname: '' }));
    t.deepEqual(host.namespaces, {});
    const hostNet = await fixture.run(await fixture.spec({ network: 'node', hostname: '' }));
    t.deepEqual(Object.keys(hostNet.namespaces), ['ipc']);
    const shared = await fixture.run(await fixture.spec({ pid: 'pod', ipc: 'node' }));
    t.deepEqual(Object.keys(shared.namespaces).sort(), ['network', 'pid', 'uts']);
    const [, init] = (/\/proc\/(\d+)\/ns\/pid$/.exec(shared.namespaces.pid ?? '') ?? []) as string[];
    // Right after its start it is still the runtime process.
    await eventually('its own program', async () => (await nameOf(Number(init))) === 'init');
    const status = await readFile(`/proc/${String(init)}/status`, 'utf8');
    t.regex(status, /^NSpid:\t\d+\t1$/m);
    t.regex(status, /^CapEff:\t0+$/m, 'containers may look at it, so it must have nothing to give');
    t.regex(status, /^CapBnd:\t0+$/m);
    t.regex(status, /^NoNewPrivs:\t1$/m);
    // The pause process reaps orphans of the pod's PID namespace.
    await fixture.container(shared, 'sleep 0.01 & exec sleep 1000');
    await fixture.container(shared, '(sleep 0.01 &); while :; do sleep 1; done');
    await eventually('no zombie', async () => {
      const pids = await processesBelow(shared.cgroup, { zombies: true });
      const isLeft = async (pid: number) =>
        (await stateOf(pid)) === 'Z' && (await parentOf(pid).catch(() => 0)) === Number(init);
      return !(await Promise.all(pids.map(isLeft))).includes(true);
    });
    t.pass();
  });

  serial("stop ends the sandbox's containers and can be repeated", async (t) => {
    const fixture = await SandboxFixture.make(t, make);
    const spec = await fixture.spec();
    const placement = await fixture.run(spec);
    await fixture.container(placement, 'trap "" TERM; while :; do sleep 1 & wait; done');
    t.true((await processesBelow(placement.cgroup)).length > 0);
    await fixture.provider.stop({ spec });
    // A dying process leaves its cgroup a moment before /proc shows it.
    await eventually('the end of its processes', async () => (await processesBelow(placement.cgroup)).length === 0);
    t.is(await fixture.placement(spec), undefined);
    await fixture.provider.stop({ spec });
    await fixture.provider.remove({ spec });
    await fixture.provider.stop({ spec });
    await fixture.provider.remove({ spec });
    t.deepEqual(await fixture.provider.list(), []);
    t.deepEqual(fixture.exits, [], 'a requested end is not reported');
    const again = await fixture.run(spec);
    t.is(await inside(again, 'cat', '/proc/sys/kernel/hostname'), 'pod-1', 'the same id can be started again');
  });

  serial('after a restart a sandbox is found and watched', async (t) => {
    const fixture = await SandboxFixture.make(t, make);
    const spec = await fixture.spec({ pid: 'pod' });
    const placement = await fixture.run(spec);
    const second = fixture.again();
    t.deepEqual(await second.list(), [spec.id]);
    t.deepEqual(await fixture.placement(spec, second), placement);
    const container = await fixture.container(placement);
    process.kill(Number(placement.namespaces.pid?.split('/')[2]), 'SIGKILL');
    await eventually('a report of both providers', () => fixture.exits.length >= 2);
    t.deepEqual([...new Set(fixture.exits)], [spec.id]);
    t.is(await fixture.placement(spec, second), undefined);
    await eventually(
      'its end with its PID namespace',
      async () => (await processesBelow(`${placement.cgroup}/${container}`)).length === 0,
    );
    await second.remove({ spec });
  });

  serial('the network of an ended sandbox stays until stop', async (t) => {
    const fixture = await SandboxFixture.make(t, make);
    const spec = await fixture.spec({ pid: 'pod' });
    const placement = await fixture.run(spec);
    await inside(placement, 'ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1');
    process.kill(Number(placement.namespaces.pid?.split('/')[2]), 'SIGKILL');
    await eventually('the report of its end', () => fixture.exits.includes(spec.id));
    for (const provider of [fixture.provider, fixture.again()]) {
      const status = await provider.adopt({ spec });
      const path = status.state === 'ended' ? (status.networkNamespace ?? '') : '';
      t.regex((await run('nsenter', [`--net=${path}`, 'ip', '-br', 'link'])).stdout, /^eth0@/m);
    }
    const known = fixture.provider.status({ spec });
    t.is(known.state === 'ended' && known.reason, 'its pause process exited');
    await fixture.provider.stop({ spec });
    const stopped = await fixture.provider.adopt({ spec });
    t.true(stopped.state === 'ended' && stopped.networkNamespace === undefined);
  });

  serial('a sandbox without its directory has ended', async (t) => {
    const fixture = await SandboxFixture.make(t, make);
    const before = await inventory(fixture);
    const spec = await fixture.spec();
    await fixture.run(spec);
    await run('mv', [spec.runDir, `${fixture.directory}/elsewhere`]);
    await eventually('the report of its end', () => fixture.exits.includes(spec.id));
    const status = fixture.provider.status({ spec });
    t.regex(status.state === 'ended' ? status.reason : '', /^its directory \S+ was removed$/);
    t.is(await fixture.placement(spec, fixture.again()), undefined);
    await fixture.provider.remove({ spec });
    await run('umount', ['-R', '-q', '-A', `${fixture.directory}/elsewhere/net`]).catch(() => undefined);
    await run('sh', ['-c', 'umount -l "$1"/elsewhere/ns/* 2>/dev/null; rm -r "$1/elsewhere"', 'sh', fixture.directory]);
    t.deepEqual(await leftovers(fixture, before, irrelevant), []);
  });

  serial('create reports a durable handle before it starts', async (t) => {
    const fixture = await SandboxFixture.make(t, make);
    await fixture.provider.unavailableBecause();
    const before = await inventory(fixture);
    const spec = await fixture.spec();
    let handle: SandboxHandle = {};
    const stop = new Error('the server ends');
    await t.throwsAsync(
      fixture.provider.create(spec, () => Promise.reject(stop)),
      { is: stop },
    );
    t.deepEqual(await fixture.provider.list(), []);
    const made = await fixture.provider.create(spec, async (now) => {
      handle = JSON.parse(JSON.stringify(now)) as SandboxHandle;
    });
    t.deepEqual(handle, made.handle);
    t.is(fixture.provider.status({ spec, handle }).state, 'ended');
    await fixture.again().start({ spec, handle });
    await fixture.again().remove({ spec, handle });
    t.deepEqual(await leftovers(fixture, before, irrelevant), []);
  });

  serial('an unrecorded sandbox can be discarded by its id', async (t) => {
    const fixture = await SandboxFixture.make(t, make);
    const before = await inventory(fixture);
    const spec = await fixture.spec({ pid: 'pod' });
    await fixture.container(await fixture.run(spec));
    await fixture.again().discard(spec.id);
    await fixture.provider.discard(spec.id);
    t.deepEqual(await fixture.provider.list(), []);
    t.deepEqual(await leftovers(fixture, before, irrelevant), []);
  });

  serial('20 concurrent sandboxes leave nothing', async (t) => {
    const fixture = await SandboxFixture.make(t, make);
    const before = await inventory(fixture);
    const kinds: Partial<SandboxSpec>[] = [{}, { pid: 'pod' }, { network: 'node', hostname: '' }, { ipc: 'node' }];
    const specs = await Promise.all(
      Array.from({ length: 20 }, (_, index) => fixture.spec(kinds[index % kinds.length])),
    );
    const placements = await Promise.all(specs.map((spec) => fixture.run(spec)));
    t.is((await fixture.provider.list()).length, 20);
    t.is(new Set(placements.flatMap(({ namespaces }) => namespaces.network ?? [])).size, 15);
    await Promise.all(specs.map((spec) => fixture.provider.stop({ spec })));
    await Promise.all(specs.map((spec) => fixture.provider.remove({ spec })));
    t.deepEqual(await fixture.provider.list(), []);
    t.deepEqual(await leftovers(fixture, before, irrelevant), []);
    t.deepEqual(fixture.exits, []);
    t.deepEqual(fixture.log, []);
  });

  const hostile: [what: string, change: Partial<SandboxSpec>, field: RegExp][] = [
    ['a newline in the host name', { hostname: 'a\nlxc.hook.pre-start = /bin/touch /tmp/pwned' }, /^hostname: /],
    ['an option as host name', { hostname: '--help' }, /^hostname: /],
    ['NUL in the host name', { hostname: 'a\0b' }, /^hostname: /],
    ['a host name of 65 characters', { hostname: 'a'.repeat(65) }, /^hostname: /],
    ['a U+2028 in the host name', { hostname: 'a\u2028b' }, /^hostname: /],
    ['a newline in a parameter', { sysctls: { 'kernel.shmmax': '1\nlxc.cap.keep = all' } }, /^linux\.sysctls: /],
    ['an empty parameter', { sysctls: { 'kernel.shmmax': '' } }, /^linux\.sysctls: /],
    ['a path as parameter name', { sysctls: { '../../etc/passwd': '1' } }, /^linux\.sysctls: /],
    ['a line as parameter name', { sysctls: { 'a.b = 1\nlxc.x': '1' } }, /^linux\.sysctls: /],
    ['a parameter the kernel lacks', { sysctls: { 'net.ipv4.nonsense': '1' } }, /^linux\.sysctls: /],
    ['a parameter of a VLAN', { sysctls: { 'net.ipv4.conf.eth0/100.rp_filter': '1' } }, /^linux\.sysctls: .*"tuning"/],
    ['a value the kernel refuses', { sysctls: { 'kernel.shm_rmid_forced': 'abc' } }, /^linux\.sysctls: /],
    ['a parameter of 5000 characters', { sysctls: { 'kernel.shmmax': '1'.repeat(5000) } }, /^linux\.sysctls: /],
    ['a cgroup that climbs', { cgroupParent: '/a/../../b' }, /^linux\.cgroup_parent: /],
    ['a slice, which is a path by now', { cgroupParent: 'kubepods-besteffort.slice' }, /^linux\.cgroup_parent: /],
    ['a cgroup for the shell', { cgroupParent: '/a;touch /tmp/pwned' }, /^linux\.cgroup_parent: /],
  ];
  serial('hostile values are refused and leave nothing', async (t) => {
    const fixture = await SandboxFixture.make(t, make);
    await fixture.provider.unavailableBecause();
    const before = await inventory(fixture);
    for (const [what, change, field] of hostile) {
      const error = await t.throwsAsync(fixture.run(await fixture.spec(change)), { instanceOf: CriError }, what);
      t.is(error?.code, StatusCode.INVALID_ARGUMENT, what);
      t.regex(error?.message ?? '', field, what);
    }
    t.deepEqual(await leftovers(fixture, before, irrelevant), []);
    t.deepEqual(await fixture.provider.list(), []);
  });

  serial('unusual but valid values arrive unchanged', async (t) => {
    const fixture = await SandboxFixture.make(t, make);
    const spec = await fixture.spec({
      hostname: 'N0.a--b.c',
      sysctls: { 'kernel.domainname': '"#=\\ \'$(id);--help\'"' },
    });
    const placement = await fixture.run(spec);
    t.is(await inside(placement, 'cat', '/proc/sys/kernel/hostname'), 'N0.a--b.c');
    t.is(await inside(placement, 'cat', '/proc/sys/kernel/domainname'), '"#=\\ \'$(id);--help\'"');
  });
}

/**
 * Whether a difference is intended: what a provider keeps (parents of cgroups, files that all sandboxes share), what
 * the test itself created (run directories, bundles), and the plain directories that crun creates where test/sandbox
 * hides a v2 tree beside v1.
 */
export function irrelevant(line: string): boolean {
  const kept = [
    /\/kubepods(\/besteffort(\/pod1)?)?$/,
    /^\+\d+ file \S*\/(state(\/\.(holder|programs)(\/.*)?)?|(run|bundles|crun)(\/.*)?)$/,
    /^\+\d+ cgroup \/sys\/fs\/cgroup\/unified\//,
  ];
  return kept.some((pattern) => pattern.test(line));
}

/** Cancels a hanging start of the fixture's program at `program`; it ends, and its objects can be removed. */
export async function endsWhenCancelled(
  t: ExecutionContext,
  fixture: SandboxFixture,
  { program, ...more }: Partial<SandboxSpec> & { program: string },
): Promise<void> {
  const before = await inventory(fixture);
  const spec = await fixture.spec(more);
  const sandbox = await fixture.provider.create(spec, () => Promise.resolve());
  const caller = new AbortController();
  const started = fixture.provider.start(sandbox, caller.signal);
  const reason = new Error('the caller has left');
  await eventually('a program at work', async () => (await processesWith(program)).length > 0);
  caller.abort(reason);
  t.is(await t.throwsAsync(started), reason);
  await fixture.provider.remove(sandbox);
  t.deepEqual(await processesWith(program), []);
  t.deepEqual(await leftovers(fixture, before, irrelevant), []);
}
