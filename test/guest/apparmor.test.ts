import test from 'ava';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NamespaceMode, RuntimeServiceService, SecurityProfile_ProfileType } from '../../api/gen/cri.ts';
import type { LinuxContainerSecurityContext } from '../../api/gen/cri.ts';
import { StatusCode } from '../../src/core/model/errors.ts';
import { findNative } from '../../src/host/native/find.ts';
import { run } from '../../src/host/processes/run.ts';
import { oneServer } from '../integration/server-fixture.ts';
import type { ServerFixture } from '../integration/server-fixture.ts';
import { eventually } from '../lib/eventually.ts';
import { sharedTest } from '../lib/handlers.ts';

const one = oneServer(test);

type Context = NonNullable<Parameters<typeof LinuxContainerSecurityContext.create>[0]>;

const { RuntimeDefault, Unconfined, Localhost } = SecurityProfile_ProfileType;
/** Each container has its own PID namespace, so that its first process is the request's. */
const own = { pid: NamespaceMode.CONTAINER };

const DEFAULT = 'proxmox-lxcri-default (enforce)';
const DENY_WRITE = 'proxmox-lxcri-test-deny-write';

/** The profiles of a container's first process, `sleep`, and of a command executed in it. */
async function confinement(server: ServerFixture, id: string): Promise<string[]> {
  // Right after its start it is still the runtime process.
  await eventually(
    'its own program',
    async () => (await server.exec(id, 'cat', '/proc/1/comm')).stdout.toString() === 'sleep\n',
  );
  const { stdout } = await server.exec(id, 'cat', '/proc/1/attr/current', '/proc/self/attr/current');
  return stdout.toString().trim().split('\n');
}

for (const handler of ['lxc', 'crun'] as const) {
  test.serial(`${handler}: containers and exec sessions use the requested profile`, async (t) => {
    const server = await one(t);
    const profile = join(server.directory, 'profile');
    await writeFile(
      profile,
      `include <tunables/global>\nprofile ${DENY_WRITE} flags=(attach_disconnected) {\n  include <abstractions/base>\n  file,\n  deny /** w,\n}\n`,
    );
    await run('apparmor_parser', ['--replace', '--skip-cache', profile]);
    t.teardown(() => run('apparmor_parser', ['--remove', profile]));
    const pod = await server.pod('confined', { linux: { securityContext: { namespaceOptions: own } } }, handler);
    let count = 0;
    const sleeping = (context: Context) =>
      server.sh(pod, `c${String((count += 1))}`, 'exec sleep 1000', {
        linux: { securityContext: { namespaceOptions: own, ...context } },
      });

    const local = { profileType: Localhost, localhostRef: DENY_WRITE };
    const cases: [context: Context, profile: string][] = [
      [{}, DEFAULT],
      [{ apparmor: { profileType: RuntimeDefault } }, DEFAULT],
      [{ apparmorProfile: 'runtime/default' }, DEFAULT],
      [{ apparmor: { profileType: Unconfined } }, 'unconfined'],
      [{ privileged: true }, 'unconfined'],
      [{ apparmor: local }, `${DENY_WRITE} (enforce)`],
      [{ apparmor: local, apparmorProfile: 'localhost/absent' }, `${DENY_WRITE} (enforce)`],
      [{ apparmorProfile: `localhost/${DENY_WRITE}` }, `${DENY_WRITE} (enforce)`],
    ];
    for (const [context, expected] of cases) {
      t.deepEqual(await confinement(server, await sleeping(context)), [expected, expected], JSON.stringify(context));
    }
    const denied = await sleeping({ apparmor: local });
    t.regex((await server.exec(denied, 'touch', '/tmp/x')).stderr.toString(), /Permission denied/);

    const absent = server.create(pod, 'absent', {
      command: ['true'],
      linux: { securityContext: { apparmor: { profileType: Localhost, localhostRef: 'absent' } } },
    });
    await t.throwsAsync(absent, {
      code: StatusCode.FAILED_PRECONDITION,
      message: /profile "absent" is not loaded/,
    } as object);
    const { containers } = await server.containers();
    t.is(containers.length, count);
  });

  sharedTest(handler, 'lxc')(`${handler}: the default profile restricts root but permits work`, async (t) => {
    const server = await one(t);
    const pod = await server.pod('default', {}, handler);
    // Everything but the profile would allow these operations.
    const strong = { capabilities: { addCapabilities: ['ALL'], dropCapabilities: [], addAmbientCapabilities: [] } };
    const linux = { securityContext: strong };
    const id = await server.sh(pod, 'c', 'exec sleep 1000', { linux });
    const free = await server.sh(pod, 'free', 'exec sleep 1000', {
      linux: { securityContext: { ...strong, apparmor: { profileType: Unconfined } } },
    });
    const attempt = async (container: string, script: string) => {
      const { exitCode, stderr } = await server.exec(container, 'sh', '-c', script);
      return exitCode === 0 ? 'done' : stderr.toString().trim();
    };
    for (const script of [
      'mount -t tmpfs none /mnt',
      'mount -o bind /bin /mnt',
      'echo 0 >/proc/sys/vm/swappiness',
      'echo 0 >/proc/sys/kernel/panic',
      'echo 0 >/proc/sys/fs/file-max',
      'echo h >/proc/sysrq-trigger',
    ]) {
      t.regex(await attempt(id, `mkdir -p /mnt; ${script}`), /denied|not permitted/i, script);
    }
    t.is(await attempt(free, 'mkdir -p /mnt; mount -t tmpfs none /mnt'), 'done', 'it is the profile that forbids it');
    for (const script of [
      'echo 1 >/proc/sys/kernel/shm_rmid_forced',
      'echo 20 >/proc/sys/fs/mqueue/msg_max',
      'mkdir /a && echo x >/a/b && mv /a/b /a/c && ln /a/c /a/d && chown 1:1 /a/c && rm -r /a',
      'sleep 100 & kill $!; wait $!; true',
      'echo x >/dev/shm/x; echo y >/dev/null; echo z >/dev/stdout',
      'ip addr add 10.255.255.1/32 dev lo',
      'cat /proc/1/status /proc/self/maps /proc/meminfo >/dev/null; ls /sys/class/net',
    ]) {
      t.is(await attempt(id, script), 'done', script);
    }
    await server.client.call(RuntimeServiceService.stopContainer, { containerId: id, timeout: 0n });
    t.is((await server.exit(id)).exitCode, 137);
  });

  sharedTest(handler, 'crun')(`${handler}: the default profile applies in a user namespace`, async (t) => {
    const server = await one(t);
    const mapping = [{ containerId: 0, hostId: 200_000, length: 65_536 }];
    const namespaceOptions = { ...own, usernsOptions: { mode: 0 as const, uids: mapping, gids: mapping } };
    const container = { linux: { securityContext: { namespaceOptions: own } } };
    const pod = await server.pod('mapped', { linux: { securityContext: { namespaceOptions } } }, handler);
    const id = await server.sh(pod, 'c', 'exec sleep 1000', container);
    await server.end('SIGKILL');
    await server.start();
    t.deepEqual(await confinement(server, id), [DEFAULT, DEFAULT]);
    const again = await server.sh(pod, 'again', 'exec sleep 1000', container);
    t.deepEqual(await confinement(server, again), [DEFAULT, DEFAULT]);
    t.regex(await readFile('/sys/kernel/security/apparmor/profiles', 'utf8'), /^proxmox-lxcri-default \(enforce\)$/m);
    t.is((await readFile('/proc/self/attr/current', 'utf8')).trim(), 'unconfined', 'the tests themselves');
  });
}

// On a node of Proxmox VE it runs under the profile of lxc-start, which containers under theirs take no signals from.
test.serial('the hook that ends a pod sends no signals where the kernel kills the cgroup', async (t) => {
  const server = await one(t);
  const name = 'proxmox-lxcri-test-hook';
  const profile = join(server.directory, 'hook-profile');
  await writeFile(profile, `profile ${name} flags=(attach_disconnected) {\n  file,\n  capability,\n}\n`);
  await run('apparmor_parser', ['--replace', '--skip-cache', profile]);
  t.teardown(() => run('apparmor_parser', ['--remove', profile]));
  const cgroup = `/sys/fs/cgroup/${name}`;
  await mkdir(cgroup);
  t.teardown(() => rmdir(cgroup));
  // So many that some still are there when the hook looks.
  const script = `echo $$ >${cgroup}/cgroup.procs; for i in $(seq 100); do sleep 1000 & done; echo ready; wait`;
  const victim = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => victim.kill('SIGKILL'));
  await once(victim.stdout, 'data');
  const ended = once(victim, 'exit');
  await run('aa-exec', ['-p', name, '--', findNative(), 'hook', 'stop', cgroup]);
  t.deepEqual(await ended, [null, 'SIGKILL']);
  const { stdout } = await run('dmesg', []);
  t.deepEqual(
    stdout.split('\n').filter((line) => line.includes('DENIED') && line.includes(`"${name}"`)),
    [],
  );
});
