import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { eventually } from '../../lib/eventually.ts';

const execute = promisify(execFile);

/** How a run of the helper ended. */
async function call(program: string, args: string[], stdin: 'ignore' | 'pipe' = 'ignore') {
  const child = spawn(program, args, { stdio: [stdin, 'pipe', 'pipe'] });
  const ended = once(child, 'exit') as Promise<[number | null]>;
  const [stdout, stderr] = await Promise.all([text(child.stdout!), text(child.stderr!)]);
  return { code: (await ended)[0], stdout, stderr };
}

async function directory(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'native-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A TCP server on loopback; its port. */
async function listen(t: ExecutionContext, serve: (socket: Socket) => void): Promise<string> {
  const server = createServer({ allowHalfOpen: true }, serve).listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  return String((server.address() as AddressInfo).port);
}

for (const kind of ['shipped', 'sanitized']) {
  const build = execute('src/native/build', kind === 'sanitized' ? ['--sanitize'] : []);
  const helper = async () => (await build).stdout.trim();

  test(`${kind}: enter replaces only a null standard input`, async (t) => {
    const program = await helper();
    const script = 'readlink /proc/self/fd/0; cat; echo x 2>/dev/null >/proc/self/fd/0 || echo refused';
    const empty = await call(program, ['enter', '/bin/sh', '-c', script]);
    t.regex(empty.stdout, /^\/memfd:empty \(deleted\)\nrefused\n$/);
    t.is(empty.stderr, '');
    const given = spawn(program, ['enter', '/bin/cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
    given.stdin.end('given');
    t.is(await text(given.stdout), 'given');
  });

  test(`${kind}: a hook starts a pod only once`, async (t) => {
    const program = await helper();
    const permit = join(await directory(t), 'permit');
    await writeFile(permit, '');
    t.is((await call(program, ['hook', 'pre-start', permit])).code, 0);
    const again = await call(program, ['hook', 'pre-start', permit]);
    t.is(again.code, 1);
    t.regex(again.stderr, /a Kubernetes pod that has ended/);
    const target = (name: string) =>
      execute(program, ['hook', 'post-stop'], { env: { LXC_TARGET: name } }).then(
        () => 'goes on',
        () => 'must not',
      );
    t.deepEqual([await target('stop'), await target('reboot')], ['goes on', 'must not']);
    t.is((await call(program, ['hook', 'stop', '/no/such/directory'])).code, 0);
    for (const args of [['hook'], ['hook', 'stop'], ['hook', 'other', 'x'], ['keep', 'x']])
      t.is((await call(program, args)).code, 2, args.join(' '));
  });

  test(`${kind}: hooks of a copied container spare the pod`, async (t) => {
    const program = await helper();
    const permit = join(await directory(t), 'permit');
    await writeFile(permit, '');
    const hook = (name: string, ...args: string[]) =>
      execute(program, ['hook', '--name', '100', ...args, name, 'lxc', args[0] ?? ''], { env: { LXC_NAME: name } });
    await t.throwsAsync(hook('101', 'pre-start', permit), { message: /a copy of a Kubernetes pod/ });
    const victim = spawn('sleep', ['600']);
    t.teardown(() => victim.kill('SIGKILL'));
    const cgroup = await directory(t);
    await writeFile(join(cgroup, 'cgroup.procs'), `${String(victim.pid)}\n`);
    await hook('101', 'stop', cgroup);
    t.is(victim.exitCode ?? victim.signalCode, null);
    await hook('100', 'pre-start', permit);
    const ended = new Promise((resolve) => victim.once('exit', resolve));
    // The list of a real cgroup becomes empty.
    void ended.then(() => writeFile(join(cgroup, 'cgroup.procs'), ''));
    await hook('100', 'stop', cgroup);
    t.is(victim.signalCode, 'SIGKILL');
  });

  test(`${kind}: keep leaves a process in its own session`, async (t) => {
    const pid = Number((await call(await helper(), ['keep'])).stdout);
    t.teardown(() => process.kill(pid, 'SIGKILL'));
    const session = async () => (await readFile(`/proc/${String(pid)}/stat`, 'utf8')).split(') ')[1]?.split(' ')[3];
    await eventually('its session', async () => (await session()) === String(pid));
    await eventually('the end of what it holds', async () => (await readdir(`/proc/${String(pid)}/fd`)).length === 0);
    t.pass();
  });

  test(`${kind}: enter sets the OOM score and reports errors`, async (t) => {
    const program = await helper();
    const score = await call(program, ['enter', '--score', '777', '/bin/cat', '/proc/self/oom_score_adj']);
    t.is(score.stdout, '777\n');
    const lost = await call(program, ['enter', '--cgroup', '/no/such/cgroup.procs', '/bin/true']);
    t.deepEqual([lost.code, lost.stderr], [125, 'cannot enter /no/such/cgroup.procs: No such file or directory\n']);
    t.is((await call(program, ['enter', '/no/such/program'])).code, 127);
    for (const args of [['enter'], ['exec'], ['exec', '/pid'], ['relay'], ['relay', 'tcp'], ['relay', 'tcp', '0']])
      t.is((await call(program, args)).code, 2, args.join(' '));
  });

  test(`${kind}: exec waits for the pid file's process`, async (t) => {
    const program = await helper();
    const pidFile = join(await directory(t), 'pid');
    const exec = (script: string) => call(program, ['exec', pidFile, '/bin/sh', '-c', script, pidFile]);
    const daemon = 'sleep 98764 >/dev/null 2>&1 & echo $! >"$0.daemon"';
    // A shell reaps a child that ends before itself; a runtime does not.
    const afterwards = (end: string) =>
      `sh -c 'while kill -0 $0 2>/dev/null; do sleep 0.01; done; ${end}' $$ & echo $! >"$0"`;
    const ended = await exec(`${daemon}; ${afterwards('exit 7')}`);
    t.deepEqual([ended.code, ended.stderr], [7, '']);
    const left = Number(await readFile(`${pidFile}.daemon`, 'utf8'));
    t.notThrows(() => process.kill(left, 0));
    process.kill(left, 'SIGKILL');
    t.is((await exec(afterwards('kill -9 $$'))).code, 137);
    t.is((await exec('exit 9')).code, 9, 'the runtime failed');
    t.is((await exec('exit 0')).code, 255, 'it left no such process');
  });

  test(`${kind}: a relay forwards both directions and half-closes`, async (t) => {
    const program = await helper();
    const content = Buffer.alloc(3_000_000, 'abcdefg');
    let seen = 0;
    const port = await listen(t, (socket) => {
      socket.on('data', (chunk) => (seen += chunk.length));
      // Answers after the end of the input, which must not close the connection.
      socket.on('end', () => socket.end(content));
    });
    const relay = spawn(program, ['relay', 'tcp', port], { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = once(relay, 'exit');
    relay.stdin.end(content);
    t.is(await text(relay.stdout), content.toString());
    t.is(seen, content.length);
    t.deepEqual(await ended, [0, null]);
  });

  test(`${kind}: a relay reports a refused port`, async (t) => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const port = String((server.address() as AddressInfo).port);
    server.close();
    await once(server, 'close');
    const refused = await call(await helper(), ['relay', 'tcp', port]);
    t.deepEqual([refused.code, refused.stderr], [3, 'Connection refused\n']);
    const lost = await call(await helper(), ['relay', 'attach', join(await directory(t), 'no'), '10', '5', 'output']);
    t.deepEqual([lost.code, lost.stderr], [3, 'connect: No such file or directory\n']);
  });

  test(`${kind}: a slow reader blocks its sender`, async (t) => {
    let sent = 0;
    const port = await listen(t, (socket) => {
      const chunk = Buffer.alloc(65_536);
      const more = () => {
        while (!socket.destroyed && socket.write(chunk)) sent += chunk.length;
      };
      socket.on('drain', more).on('error', () => undefined);
      more();
    });
    const relay = spawn(await helper(), ['relay', 'tcp', port], { stdio: ['pipe', 'pipe', 'inherit'] });
    t.teardown(() => relay.kill('SIGKILL'));
    let before = -1;
    await eventually('an end of the sending', () => {
      const still = before === sent && sent > 0;
      before = sent;
      return still;
    });
    const resident = /VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${String(relay.pid)}/status`, 'utf8'))?.[1];
    t.true(kind === 'sanitized' || Number(resident) < 8192, `${String(resident)} KiB`);
  });

  test(`${kind}: a relay without a terminal ends`, async (t) => {
    const path = await directory(t);
    const args = ['relay', 'pty', 'console', '/bin/sh', '-c', 'exit 5'];
    const relay = spawn(await helper(), args, { cwd: path, stdio: ['pipe', 'pipe', 'inherit', 'pipe'] });
    t.deepEqual(await once(relay, 'exit'), [5, null]);
  });
}
