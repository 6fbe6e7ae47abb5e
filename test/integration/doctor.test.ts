import test from 'ava';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ContainerState, RuntimeServiceService } from '../../api/gen/cri.ts';
import { CommandError, run } from '../../src/host/processes/run.ts';
import { HANG_MS, eventually } from '../lib/eventually.ts';
import { importImage } from './image-fixture.ts';
import { inventory, leftovers } from './leaks.ts';
import { processesWith } from './runner-fixture.ts';
import { ServerFixture } from './server-fixture.ts';
import { programFile } from '../lib/program.ts';

interface Report {
  healthy: boolean;
  findings: { subject: string; status: string; found: string; remedy: string }[];
  serverRuns: boolean;
  recovery?: { kind: string; id: string; action: string }[];
}

/** Runs a command of the program with the fixture's configuration. */
async function program(server: ServerFixture, ...args: string[]) {
  const command = [programFile('main'), ...args, '--config', join(server.directory, 'config.toml')];
  try {
    return { code: 0, ...(await run(process.execPath, command, { timeoutMs: HANG_MS })) };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { code: error.exitCode, stdout: error.stdout, stderr: error.stderr };
  }
}

async function doctor(server: ServerFixture, ...args: string[]): Promise<Report & { code: number | undefined }> {
  const { code, stdout } = await program(server, 'doctor', '-o', 'json', ...args);
  return { code, ...(JSON.parse(stdout) as Report) };
}

test.serial("doctor reports dependencies, leftovers and the next start's actions", async (t) => {
  const server = await ServerFixture.make(t);
  const healthy = await doctor(server);
  t.deepEqual(
    healthy.findings.filter(({ status }) => status === 'missing'),
    [],
  );
  t.is(healthy.code, 0);
  t.true(healthy.healthy && healthy.serverRuns);
  t.is(healthy.recovery, undefined);
  const found = (subject: string) => healthy.findings.find((finding) => finding.subject === subject)?.found ?? '';
  t.regex(found('program crun'), /\/crun: crun version \d/);
  t.regex(found('socket'), /a server listens/);
  t.regex(found('user namespaces'), /supports idmapped mounts/);
  t.not(found('AppArmor'), '');
  t.is(found('monitors of other LXC containers'), 'none');
  await run('chmod', ['700', server.directory]);
  const closed = (await doctor(server)).findings.find(({ subject }) => subject === 'user namespaces');
  t.like(closed, { status: 'warning', remedy: `chmod o+x ${server.directory}` });
  await run('chmod', ['711', server.directory]);
  t.regex(found('CNI configuration'), /bridge, host-local, portmap/);
  t.is(found('cgroup driver'), 'cgroupfs (runtime.cgroup_driver = "auto")');
  const dropIn = join(server.directory, 'conf.d', 'x.toml');
  await mkdir(join(server.directory, 'conf.d'));
  const empty = `${server.directory}/conf.d`;
  const other = `config_dir = "${empty}"\nconf_template = "${empty}/template"\n[runtime]\ncgroup_driver = "systemd"\n`;
  const [short, wide] = [join(server.directory, 'short.key'), join(server.directory, 'wide.key')];
  await writeFile(short, 'short', { mode: 0o600 });
  await writeFile(wide, Buffer.alloc(32), { mode: 0o644 });
  const bfc = `[bfc]\ndirectory = "${empty}/no"\nkey_files = ["${short}", "${wide}"]\n`;
  await writeFile(dropIn, `[network]\n${other}cgroup_parent = "a-b.slice"\n${bfc}`);
  const differing = (await doctor(server)).findings;
  t.like(
    differing.find(({ subject }) => subject === 'cgroup driver'),
    {
      status: 'warning',
      found: 'systemd does not run this machine; slices are plain cgroups',
    },
  );
  t.like(
    differing.find(({ subject }) => subject === 'CNI configuration'),
    { status: 'warning', remedy: '' },
  );
  t.deepEqual(
    differing.filter(({ subject }) => subject.startsWith('bfc.')).map(({ status, found: words }) => [status, words]),
    [
      ['warning', `ENOENT: no such file or directory, stat '${empty}/no'`],
      ['warning', `${short} has 5 bytes; at least 32 are needed`],
      ['warning', `others than its owner may use ${wide}`],
    ],
  );
  await run('rm', [dropIn]);
  t.regex(
    (await program(server, 'doctor')).stdout,
    /^PASS +native helper +\/[^]*\n\d+ passed, \d+ warnings, 0 failed\n/,
  );

  const pod = await server.pod('stays');
  const running = await server.sh(pod, 'running', 'exec sleep 1000');
  const going = join(server.directory, 'going');
  await mkdir(going);
  const ending = await server.sh(pod, 'ending', 'until [ -e /going/now ]; do sleep 0.1; done; exit 3', {
    mounts: [{ containerPath: '/going', hostPath: going, readonly: true }],
  });
  const lost = await server.create(pod, 'lost', { command: ['true'] });
  await server.end('SIGKILL');
  await writeFile(join(going, 'now'), '');
  await eventually('the end of a container', async () => (await processesWith(ending)).length === 0);
  const orphan = 'f'.repeat(64);
  await mkdir(join(server.directory, 'root', 'volumes', orphan), { recursive: true });
  await writeFile(join(server.directory, 'root', 'images', 'broken.json'), '{');
  await run('rm', ['-r', join(server.directory, 'state', 'runner', 'containers', lost)]);
  const before = await inventory(server);
  const { recovery, serverRuns } = await doctor(server);
  t.false(serverRuns);
  const action = (id: string) => recovery?.find((step) => step.id === id)?.action;
  t.regex(action(pod) ?? '', /^adopt/);
  t.regex(action(running) ?? '', /^adopt/);
  t.regex(action(ending) ?? '', /^record its exit code/);
  t.regex(action(lost) ?? '', /exit code 255/);
  t.regex(action(orphan) ?? '', /^remove: volume/);
  t.regex(action('broken.json') ?? '', /corrupt/);
  t.is(recovery?.length, 6);
  t.deepEqual(await leftovers(server, before), []);

  const plugins = join(server.directory, 'cni', '00-first.conflist');
  await writeFile(plugins, JSON.stringify({ name: 'x', plugins: [{ type: 'no-such-plugin' }] }));
  const ill = await doctor(server);
  t.is(ill.code, 1);
  t.deepEqual(
    ill.findings.filter(({ status }) => status === 'missing').map(({ subject }) => subject),
    ['CNI plugin no-such-plugin'],
  );
  await run('rm', [plugins]);
  const config = join(server.directory, 'config.toml');
  const right = await readFile(config, 'utf8');
  await writeFile(config, `${right}\noci_runtime = "/no/such/crun"\n`);
  const lacking = await doctor(server);
  await writeFile(config, right);
  t.like(
    lacking.findings.find(({ status }) => status === 'missing'),
    { subject: 'program /no/such/crun', found: 'not found; it runs containers' },
  );

  // The next start does what doctor predicted.
  await server.start();
  t.is((await server.status(running)).state, ContainerState.CONTAINER_RUNNING);
  t.like(await server.status(ending), { state: ContainerState.CONTAINER_EXITED, exitCode: 3 });
  t.is((await server.status(lost)).state, ContainerState.CONTAINER_CREATED);
  t.deepEqual(await readdir(join(server.directory, 'root', 'volumes')), ['removed']);
  const removed = join(server.directory, 'root', 'volumes', 'removed');
  await eventually('the end of the volume', async () => (await readdir(removed)).length === 0);
  t.true((await readdir(join(server.directory, 'root', 'images'))).includes('broken.json.corrupt'));
});

test.serial('wipe refuses a running server and otherwise removes everything', async (t) => {
  const server = await ServerFixture.make(t);
  await server.warm();
  const fresh = (await inventory(server)).filter((line) => !line.startsWith('file '));
  await importImage(server, 'localhost/volume:1', { '/v/file': 'x' }, { config: { Volumes: { '/v': {} } } });
  for (const handler of ['lxc', 'crun']) {
    const pod = await server.pod(`p-${handler}`, { portMappings: [{ containerPort: 80, hostPort: 22_000 }] }, handler);
    await server.sh(pod, 'c', 'exec sleep 1000', { image: { image: 'localhost/volume:1' } });
    await server.exit(await server.sh(pod, 'd', 'true'));
    if (handler === 'lxc') await server.client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: pod });
  }
  const refused = await program(server, 'wipe', '--force');
  t.is(refused.code, 1);
  t.regex(refused.stderr, /in use by a running server; stop it first/);
  t.is((await server.containers()).containers.length, 4);
  await server.end('SIGTERM');
  const before = await inventory(server);
  const unasked = await program(server, 'wipe');
  t.is(unasked.code, 1);
  t.regex(unasked.stderr, /have 2 pods, 4 containers and 2 images; use --force/);
  t.deepEqual(await leftovers(server, before), []);
  const done = await program(server, 'wipe', '--force');
  t.is(done.code, 0, done.stderr);
  t.regex(done.stdout, /^Removed 2 pods, 4 containers and 2 images/);
  t.deepEqual(
    await leftovers(server, fresh, (line) => / file |^-\d+ (process catatonit|mount .*\/exits$)/.test(line)),
    [],
  );
  const names = await readdir(server.directory);
  t.false(names.includes('root') || names.includes('state'), names.join(' '));
  t.is((await program(server, 'wipe', '--force')).code, 0);
  await server.start();
  t.is((await server.containers()).containers.length, 0);
});
