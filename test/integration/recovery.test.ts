import test from 'ava';
import type { ExecutionContext } from 'ava';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import {
  ContainerState,
  NamespaceMode,
  PodSandboxState,
  RunPodSandboxRequest,
  RuntimeServiceService,
} from '../../api/gen/cri.ts';
import { StatusCode } from '../../src/core/model/errors.ts';
import { run } from '../../src/host/processes/run.ts';
import { HANG_MS, eventually } from '../lib/eventually.ts';
import { cgroupMounts, isMounted, unmountBelow } from '../lib/mounts.ts';
import { processesBelow } from '../lib/processes.ts';
import { leaseholders } from './kills-reality.ts';
import { exceptVanished, inventory, leftovers } from './leaks.ts';
import { oneServer, ServerFixture } from './server-fixture.ts';
import { writeScript } from '../lib/script.ts';
import { programFile } from '../lib/program.ts';

const one = oneServer(test);

test.serial("a recovery waits for the predecessor's plugins", async (t) => {
  const server = await ServerFixture.make(t);
  await server.warm();
  const before = await inventory(server);
  const work = join(server.directory, 'slow');
  const [began, go, done] = ['began', 'go', 'done'].map((name) => join(work, name)) as [string, string, string];
  await mkdir(work);
  const slow = `
if [ "$CNI_COMMAND" = ADD ]; then : >${began}; until [ -e ${go} ]; do sleep 0.05; done; fi
/usr/lib/cni/portmap
code=$?
[ "$CNI_COMMAND" != ADD ] || : >${done}
exit $code
`;
  await writeScript(join(work, 'portmap'), slow);
  const config = join(server.directory, 'config.toml');
  const first = `plugin_dirs = ["${work}", `;
  await writeFile(config, (await readFile(config, 'utf8')).replace('plugin_dirs = [', first));
  await server.end('SIGTERM');
  await server.start();
  const removals = async () => (await server.log()).split('Removing interrupted pod creation').length;

  for (const handler of ['lxc', 'crun']) {
    const removed = await removals();
    const cut = t.throwsAsync(
      server.pod(`slow-${handler}`, { portMappings: [{ containerPort: 80, hostPort: 22_999 }] }, handler),
    );
    await there(began);
    await server.end('SIGKILL');
    await cut;
    const started = server.start();
    await eventually('the recovery', async () => (await removals()) > removed);
    await writeFile(go, '');
    await there(done);
    await started;
    await Promise.all([began, go, done].map((path) => rm(path)));
    t.deepEqual(await leftovers(server, before, (line) => line.includes(work)), [], handler);
  }
});

test.serial('a hanging CNI plugin does not block the server', async (t) => {
  // The bridge plugin leaves the rules of a pod whose namespace is gone. They are flushed after the server's cleanup.
  t.teardown(async () => {
    for (const flag of ['-F', '-X']) await run('iptables', ['-w', '-t', 'nat', flag]);
  });
  const server = await ServerFixture.make(t);
  const { client } = server;
  const pods = [await server.pod('a', {}, 'lxc'), await server.pod('b', {}, 'crun'), await server.pod('c', {}, 'crun')];
  const work = join(server.directory, 'slow');
  const [go, began] = [join(work, 'go'), join(work, 'began')];
  await mkdir(work);
  const slow = `
if [ "$CNI_COMMAND" = DEL ]; then echo >>${began}; until [ -e ${go} ]; do sleep 0.05; done; fi
exec /usr/lib/cni/portmap
`;
  await writeScript(join(work, 'portmap'), slow);
  const config = join(server.directory, 'config.toml');
  const first = `plugin_dirs = ["${work}", `;
  await writeFile(config, (await readFile(config, 'utf8')).replace('plugin_dirs = [', first));
  await server.end('SIGKILL');
  await killBelow(server.cgroup);
  await server.start({ settled: false });
  // All of them at once: a plugin may be waiting for a pod.
  await eventually(
    'each DEL to have begun',
    async () => (await readFile(began, 'utf8').catch(() => '')).length === pods.length,
  );
  for (const podSandboxId of pods) {
    const { status } = await client.call(RuntimeServiceService.podSandboxStatus, { podSandboxId, verbose: false });
    t.is(status?.state, PodSandboxState.SANDBOX_NOTREADY);
  }
  const fresh = await server.pod('fresh');
  t.is((await server.exit(await server.sh(fresh, 'c', 'exit 6'))).exitCode, 6);
  await server.end('SIGTERM');
  await writeFile(go, '');
  await server.start();
  t.deepEqual([...new Set((await leaseholders(server)).values())], [fresh]);
});

for (const handler of ['lxc', 'crun']) {
  test.serial(`${handler}: after a reboot pods are NOTREADY`, async (t) => {
    const server = await ServerFixture.make(t);
    const { client } = server;
    await server.warm();
    const before = await inventory(server);
    const config = server.podConfig('web', { portMappings: [{ containerPort: 80, hostPort: 22_998 }] });
    const { podSandboxId: pod } = await client.call(
      RuntimeServiceService.runPodSandbox,
      RunPodSandboxRequest.create({ config, runtimeHandler: handler }),
    );
    const running = await server.sh(pod, 'running', 'echo before; exec sleep 1000');
    const created = await server.create(pod, 'created', { command: ['true'] });
    const done = await server.sh(pod, 'done', 'exit 3');
    const ended = await server.exit(done);
    const hostNetwork = await server.pod('host', { linux: { securityContext: { namespaceOptions: HOST } } }, handler);
    const onHost = await server.sh(hostNetwork, 'c', 'exec sleep 1000', {
      linux: { securityContext: { namespaceOptions: HOST } },
    });
    t.is((await leaseholders(server)).size, 1);
    await server.end('SIGKILL');
    await reboot(t, server);
    const plan = await foretold(server);
    // A reconfigured network does not affect the old pods.
    await writeFile(
      join(server.directory, 'cni', '10-test.conflist'),
      JSON.stringify({ name: 'x', plugins: [{ type: 'no' }] }),
    );
    const conflist = JSON.parse(await readFile(join(server.directory, 'cni.before'), 'utf8')) as object;
    await server.start();
    await writeFile(join(server.directory, 'cni', '10-test.conflist'), JSON.stringify(conflist));

    t.deepEqual(
      plan,
      [
        ...[pod, hostNetwork].map((id) => `stop ${id}`),
        ...[running, created, onHost].map((id) => `record exit code 255 and reason Unknown ${id}`),
      ].sort(),
    );
    t.deepEqual([...(await leaseholders(server))], []);
    for (const podSandboxId of [pod, hostNetwork]) {
      const { status } = await client.call(RuntimeServiceService.podSandboxStatus, { podSandboxId, verbose: false });
      t.is(status?.state, PodSandboxState.SANDBOX_NOTREADY);
    }
    for (const id of [running, created, onHost]) {
      const { state, exitCode, reason, startedAt, finishedAt } = await server.status(id);
      t.deepEqual([state, exitCode, reason], [ContainerState.CONTAINER_EXITED, 255, 'Unknown']);
      t.true(finishedAt > startedAt);
    }
    t.deepEqual(await server.status(done), ended);
    t.is(await server.output('web', 'running'), 'before\n');
    const refused = { code: StatusCode.FAILED_PRECONDITION } as object;
    await t.throwsAsync(client.call(RuntimeServiceService.startContainer, { containerId: created }), refused);
    await t.throwsAsync(server.create(pod, 'new', { command: ['true'] }), refused);
    await t.throwsAsync(server.exec(running, 'true'), refused);

    // As the kubelet does: first a sandbox of the next attempt, then it stops and removes the old one.
    const metadata = { name: 'web', namespace: 'test', uid: config.metadata?.uid ?? '', attempt: 1 };
    const again = await server.pod('web', { ...config, metadata }, handler);
    t.is((await server.exit(await server.sh(again, 'done', 'exit 4'))).exitCode, 4);
    for (const podSandboxId of [pod, hostNetwork, again]) {
      for (const containerId of [running, created]) {
        await client.call(RuntimeServiceService.stopContainer, { containerId, timeout: 10n });
      }
      await client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId });
      await client.call(RuntimeServiceService.removePodSandbox, { podSandboxId });
    }
    t.deepEqual((await server.containers()).containers, []);
    await rm(join(server.directory, 'cni.before'));
    // Permanent objects of a handler are created at its first use after the boot.
    const isLater = (line: string) =>
      / mount .*boot_id$|^-1 file \S*\/(lxc|crun-sandboxes)(\/\.holder\S*)?$/.test(line);
    t.deepEqual(await leftovers(server, before, isLater), []);
  });
}

for (const handler of ['lxc', 'crun']) {
  test.serial(`${handler}: orphans are removed and foreign objects kept`, async (t) => {
    const server = await one(t);
    await server.warm();
    const foreign = await Foreign.make(t, server);
    const before = await inventory(server);
    const pods: string[] = [];
    const orphans: string[] = [];
    for (const pid of [NamespaceMode.POD, NamespaceMode.CONTAINER]) {
      const security = { linux: { securityContext: { namespaceOptions: { pid } } } };
      const ports = { portMappings: [{ containerPort: 80, hostPort: 22_900 + pid }] };
      const pod = await server.pod(`p${String(pid)}`, { ...ports, ...security }, handler);
      orphans.push(
        await server.sh(pod, 'running', 'exec sleep 1000', security),
        await server.create(pod, 'created', { command: ['true'], ...security }),
        await server.sh(pod, 'done', 'exit 3', security),
      );
      await server.exit(orphans.at(-1) ?? '');
      pods.push(pod);
    }
    const kept = await server.pod('kept', {}, handler);
    const living = await server.sh(kept, 'living', 'exec sleep 1000');
    const records = join(server.directory, 'root');
    const [broken = '', lost = ''] = pods;
    await server.end('SIGKILL');
    await rm(join(records, 'sandboxes', `${lost}.json`));
    await writeFile(join(records, 'sandboxes', `${broken}.json`), '{"format":1,');
    for (const id of orphans) await rm(join(records, 'containers', `${id}.json`));

    t.deepEqual(
      [...new Set(await foretold(server))],
      [
        `restore from its backup ${broken}.json`,
        ...[lost, ...orphans].map((id) => `remove ${id}`),
        ...[kept, living].map((id) => `adopt ${id}`),
      ].sort(),
    );

    await server.start();
    const { containers } = await server.containers();
    t.deepEqual(
      containers.map(({ id }) => id),
      [living],
    );
    t.is((await server.status(living)).state, ContainerState.CONTAINER_RUNNING);
    t.deepEqual([...new Set((await leaseholders(server)).values())].sort(), [broken, kept].sort());
    t.is((await server.exit(await server.sh(broken, 'more', 'exit 4'))).exitCode, 4);
    for (const podSandboxId of [broken, kept]) {
      await server.client.call(RuntimeServiceService.removePodSandbox, { podSandboxId });
    }
    t.deepEqual(await leftovers(server, before), []);
    await foreign.check(t);
  });
}

test.serial('containers of a damaged record run on', async (t) => {
  const server = await one(t);
  const { client } = server;
  await server.warm();
  const before = await inventory(server);
  for (const handler of ['lxc', 'crun']) {
    const pod = await server.pod('p', { linux: { securityContext: { namespaceOptions: HOST } } }, handler);
    const id = await server.sh(pod, 'c', 'exec sleep 1000', {
      linux: { securityContext: { namespaceOptions: HOST } },
    });
    await server.end('SIGKILL');
    const damaged = [join('sandboxes', `${pod}.json`), join('containers', `${id}.json`)];
    for (const name of damaged) {
      await writeFile(join(server.directory, 'root', name), '');
      await rm(join(server.directory, 'state/records', name));
    }
    const running = await restingBelow(server.cgroup);
    t.true(running.length > 0);
    // The second start finds the files that the first one has set aside.
    for (let start = 0; start < 2; start += 1) {
      await server.start();
      t.deepEqual((await server.containers()).containers, []);
      t.deepEqual(await restingBelow(server.cgroup), running);
      await server.end('SIGTERM');
    }
    for (const name of damaged) await rm(join(server.directory, 'root', `${name}.corrupt`));
    await server.start();
    t.deepEqual(await leftovers(server, before), [], handler);
  }
  await client.call(RuntimeServiceService.version, { version: '' });
});

test.serial('a newer or unreadable record refuses the start', async (t) => {
  const server = await one(t);
  const id = await server.sh(await server.pod('p'), 'c', 'exec sleep 1000');
  const path = join(server.directory, 'root/containers', `${id}.json`);
  const text = await readFile(path, 'utf8');
  await server.end('SIGTERM');
  for (const [spoil, said] of [
    [
      () => writeFile(path, text.replace('"format": 2', '"format": 3')),
      /json: format 3 was written by a later version/,
    ],
    [() => rm(path).then(() => mkdir(path)), /json: cannot be read \(EISDIR/],
  ] as const) {
    await spoil();
    await t.throwsAsync(server.start(), { message: said });
    await rm(path, { recursive: true });
    await writeFile(path, text);
  }
  await server.start();
  t.is((await server.status(id)).state, ContainerState.CONTAINER_RUNNING);
});

/** Foreign objects beside and between the server's own that it must not touch. */
class Foreign {
  readonly #server: ServerFixture;
  readonly #cgroups: string[] = [];
  readonly #paths: string[] = [];
  #process: ChildProcess | undefined;
  #isRemoved = false;

  private constructor(server: ServerFixture) {
    this.#server = server;
  }

  static async make(t: ExecutionContext, server: ServerFixture): Promise<Foreign> {
    const foreign = new Foreign(server);
    t.teardown(() => foreign.remove());
    const inside = (path: string) => join(server.directory, path);
    // An operator's notes and a mount, in the server's own directories.
    const places = ['root/volumes', 'root/overlay/containers', 'root/overlay/layers', 'state/runner/containers'];
    for (const place of places) foreign.#paths.push(inside(`${place}/notes`));
    foreign.#paths.push(inside('state/lxc/by-hand'), inside('state/sandboxes/notes'), inside('root/mounted'));
    for (const path of foreign.#paths) {
      await mkdir(path, { recursive: true });
      await writeFile(join(path, 'file'), 'mine');
    }
    await run('mount', ['-t', 'tmpfs', 'foreign', inside('root/mounted')]);
    await run('ip', ['netns', 'add', 'foreign']);
    await run('ip', ['link', 'add', 'foreign0', 'type', 'veth', 'peer', 'name', 'foreign1']);
    await run('iptables', ['-w', '-t', 'nat', '-N', 'FOREIGN']);
    // A process in a cgroup beside those of the pods.
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
    foreign.#process = child;
    for (const { target, has } of await cgroupMounts()) {
      if (has('cpuset')) continue;
      const cgroup = `${target}${server.cgroup}/${'f'.repeat(63)}g`;
      foreign.#cgroups.push(cgroup);
      await mkdir(cgroup, { recursive: true });
      await writeFile(join(cgroup, 'cgroup.procs'), String(child.pid));
    }
    return foreign;
  }

  async check(t: ExecutionContext): Promise<void> {
    t.is(this.#process?.exitCode, null);
    for (const path of this.#cgroups)
      t.is((await readFile(join(path, 'cgroup.procs'), 'utf8')).trim(), String(this.#process?.pid));
    for (const path of this.#paths) {
      if (path.endsWith('/mounted')) t.true(await isMounted(path));
      else t.is(await readFile(join(path, 'file'), 'utf8').catch(() => 'gone'), 'mine', path);
    }
  }

  async remove(): Promise<void> {
    if (this.#isRemoved) return;
    this.#isRemoved = true;
    const ended = this.#process && once(this.#process, 'exit');
    this.#process?.kill('SIGKILL');
    await ended;
    for (const path of this.#cgroups) await run('rmdir', ['--', path]).catch(() => undefined);
    await run('umount', ['--', join(this.#server.directory, 'root/mounted')]).catch(() => undefined);
    for (const path of this.#paths) await rm(path, { recursive: true, force: true });
    await run('ip', ['netns', 'delete', 'foreign']).catch(() => undefined);
    await run('ip', ['link', 'delete', 'foreign0']).catch(() => undefined);
    await run('iptables', ['-w', '-t', 'nat', '-X', 'FOREIGN']).catch(() => undefined);
  }
}

test.serial('the kubelet can retry what cleanup at start left', async (t) => {
  const server = await one(t);
  const { client } = server;
  await server.warm();
  await mkdir(join(server.directory, 'root', 'volumes', 'removed'), { recursive: true, mode: 0o700 });
  const before = await inventory(server);
  for (const handler of ['lxc', 'crun']) {
    const pod = await server.pod(`sound-${handler}`, {}, handler);
    const config = server.podConfig(`half-${handler}`);
    const request = RunPodSandboxRequest.create({ config, runtimeHandler: handler });
    const { podSandboxId: half } = await client.call(RuntimeServiceService.runPodSandbox, request);
    const container = await server.create(pod, 'half', { command: ['true'] });
    await server.end('SIGKILL');
    // As if the server had been killed halfway and a process kept a directory busy now.
    const records = { sandboxes: half, containers: container };
    for (const [kind, id] of Object.entries(records)) {
      const path = join(server.directory, 'root', kind, `${id}.json`);
      const text = await readFile(path, 'utf8');
      await writeFile(path, text.replace(/"phase": "(ready|created)"/, '"phase": "creating"'));
    }
    const held = [
      join(server.directory, 'state/runner/containers', container, 'held'),
      join(server.directory, 'state/sandboxes', half, 'held'),
    ];
    for (const path of held) {
      await mkdir(path, { recursive: true });
      await run('mount', ['-t', 'tmpfs', 'held', path]);
    }
    t.teardown(async () => {
      for (const path of held) await run('umount', ['--', path]).catch(() => undefined);
    });
    await server.start();
    const again = () => server.create(pod, 'half', { command: ['true'] });
    await t.throwsAsync(again(), { message: /busy/ });
    const { status } = await client.call(RuntimeServiceService.podSandboxStatus, {
      podSandboxId: half,
      verbose: false,
    });
    t.is(status?.state, PodSandboxState.SANDBOX_NOTREADY);
    for (const path of held) await run('umount', ['--', path]);
    t.not(await again(), container);
    await client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: half });
    t.not((await client.call(RuntimeServiceService.runPodSandbox, request)).podSandboxId, half);
    await server.clear();
    t.deepEqual(await leftovers(server, before), [], handler);
  }
});

/** The actions of the next start according to doctor: the first words of each and its id. */
async function foretold(server: ServerFixture): Promise<string[]> {
  const doctor = [programFile('main'), 'doctor', '-o', 'json', '--config', join(server.directory, 'config.toml')];
  const { stdout } = await run(process.execPath, doctor, { timeoutMs: HANG_MS });
  const { recovery } = JSON.parse(stdout) as { recovery: { id: string; action: string }[] };
  return recovery.map(({ id, action }) => `${action.split(/[:,]/, 1)[0] ?? ''} ${id}`).sort();
}

const { NODE } = NamespaceMode;
const HOST = { network: NODE, ipc: NODE, pid: NODE };

/** Removes what a reboot removes: processes, mounts, cgroups, interfaces, rules, the directory on /run, the boot id. */
async function reboot(t: ExecutionContext, server: ServerFixture): Promise<void> {
  await writeFile(
    join(server.directory, 'cni.before'),
    await readFile(join(server.directory, 'cni', '10-test.conflist')),
  );
  await killBelow(server.cgroup);
  await unmountBelow(server.directory);
  const find = ['/sys/fs/cgroup', '-depth', '-type', 'd', '-path', `*${server.cgroup}/*`];
  const { stdout } = await run('find', find).catch(exceptVanished);
  for (const path of stdout.split('\n').filter(Boolean)) await run('rmdir', ['--', path]).catch(() => undefined);
  const ports = await readdir(`/sys/class/net/${server.bridge}/brif`);
  // An interface also disappears with its pod's namespace.
  for (const name of ports) await run('ip', ['link', 'delete', name]).catch(() => undefined);
  await eventually(
    'the end of the interfaces',
    async () => (await readdir(`/sys/class/net/${server.bridge}/brif`)).length === 0,
  );
  for (const flag of ['-F', '-X']) await run('iptables', ['-w', '-t', 'nat', flag]);
  await rm(join(server.directory, 'state'), { recursive: true });
  const path = '/proc/sys/kernel/random/boot_id';
  const file = join(server.directory, 'root', 'boot_id');
  await writeFile(file, `${randomUUID()}\n`);
  await run('mount', ['--bind', file, path]);
  await rm(file);
  t.teardown(async () => {
    await run('umount', ['--', path]);
  });
}

/** Kills every process below a cgroup, and waits for its end. */
async function killBelow(cgroup: string): Promise<void> {
  await eventually('the end of every process', async () => {
    const pids = await processesBelow(cgroup);
    for (const pid of pids) await run('kill', ['-KILL', '--', String(pid)]).catch(() => undefined);
    return pids.length === 0;
  });
}

/** The processes below a cgroup once they are stable: the last commands of a killed server end a moment later. */
async function restingBelow(cgroup: string): Promise<number[]> {
  let before: number[] = [];
  return eventually('rest', async () => {
    const now = await processesBelow(cgroup);
    const isSame = isDeepStrictEqual(now, before);
    before = now;
    return isSame && now;
  });
}

function there(path: string): Promise<true> {
  return eventually(path, () =>
    access(path).then(
      () => true,
      () => false,
    ),
  );
}
