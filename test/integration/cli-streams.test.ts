import test, { type ExecutionContext } from 'ava';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '../lib/eventually.ts';
import { run } from '../../src/host/processes/run.ts';
import { sharedServer } from './cli-fixture.ts';
import { processesWith } from './runner-fixture.ts';
import { IMAGE } from './server-fixture.ts';
import { Terminal } from './terminal.ts';

const shared = sharedServer(test, async (cli) => {
  const script = 'trap "exit 0" TERM; while :; do sleep 0.1; done';
  const { code, stderr } = await cli.run('run', '-d', '--name', 'web', IMAGE, '--', 'sh', '-c', script);
  if (code !== 0) throw new Error(stderr);
});
const SIZE = { width: 91, height: 27 };
const ECHO = 'while read -r line; do echo "got $line"; done; echo over; exit 3';

/** Runs the command line on a terminal and prints the terminal's settings before and after. */
async function onTerminal(t: ExecutionContext, command: string, ...args: string[]): Promise<Terminal> {
  const { cli, server } = shared;
  const file = join(server.directory, 'on-terminal.sh');
  const words = [process.execPath, ...cli.words(command, ...args)];
  await writeFile(file, `stty -g\n${words.map((word) => `'${word}'`).join(' ')}\ncode=$?\nstty -g\nexit $code\n`);
  return Terminal.open(t, ['sh', file], SIZE, cli.env);
}

/** Whether the settings of the terminal were the same before and after. */
function restored(terminal: Terminal): boolean {
  const [before, after, ...more] = terminal.output.match(/^[0-9a-f]+(:[0-9a-f]+){10,}\r?$/gm) ?? [];
  return before !== undefined && before === after && more.length === 0;
}

test.serial('exec -i forwards standard input until its end', async (t) => {
  const { cli } = shared;
  t.deepEqual(await cli.feed('hi\n', 'exec', '-i', 'web', 'cat'), { code: 0, stdout: 'hi\n', stderr: '' });
  const bytes = randomBytes(3_000_000);
  const { stdout } = await cli.feed(bytes, 'exec', '-i', 'web', '--', 'sh', '-c', 'wc -c; cat /dev/null');
  t.is(stdout, '3000000\n');
  // Without -i there is no standard input, and unread input does no harm.
  t.like(await cli.feed('hi\n', 'exec', 'web', 'cat'), { code: 0, stdout: '' });
  t.like(await cli.feed(bytes, 'exec', '-i', 'web', 'true'), { code: 0 });
});

test.serial('exec streams output of any length as it arrives', async (t) => {
  const { cli } = shared;
  const long = cli.start('exec', 'web', '--', 'sh', '-c', 'echo first; sleep 1000; echo never');
  await cli.output(long);
  long.process.kill('SIGTERM');
  t.like(await long.done, { code: 143, stdout: 'first\n' });
  const much = await cli.run('exec', 'web', '--', 'sh', '-c', 'head -c 20000000 /dev/zero | tr "\\0" x; echo e >&2');
  t.deepEqual([much.code, much.stdout.length, much.stderr], [0, 20_000_000, 'e\n']);
});

test.serial('exec ends when its output is closed', async (t) => {
  const { cli } = shared;
  const words = [process.execPath, ...cli.words('exec', 'web', 'yes')].map((word) => `'${word}'`).join(' ');
  const { stdout, stderr } = await run('bash', ['-c', `${words} | head -n 1; echo "\${PIPESTATUS[0]}"`]);
  t.deepEqual([stdout, stderr], ['y\n141\n', '']);
});

test.serial('exec has the exit codes of docker and podman', async (t) => {
  const { cli } = shared;
  const exec = async (...words: string[]) => (await cli.run('exec', 'web', '--', ...words)).code;
  t.is(await exec('sh', '-c', 'exit 42'), 42);
  t.is(await exec('sh', '-c', 'kill -TERM $$'), 143);
  t.is(await exec('/no/such/program'), 127);
  t.is(await exec('no-such-program'), 127);
  t.is(await exec('/etc'), 126);
  t.is(await exec('/etc/hosts'), 126);
  const absent = await cli.run('exec', 'nobody', 'true');
  t.deepEqual([absent.code, absent.stderr], [125, 'proxmox-lxcri: container "nobody" not found\n']);
});

test.serial('exec -it sets the size and restores the terminal', async (t) => {
  const terminal = await onTerminal(t, 'exec', '-it', 'web', 'sh');
  await terminal.converse('stty size', /27 91\r\n/);
  await terminal.resize({ width: 101, height: 44 });
  await terminal.converse('stty size', /44 101\r\n/);
  // Control characters reach the command, not the client.
  terminal.type('sleep 98765\n');
  await eventually('the command', async () => (await processesWith('sleep\x0098765')).length > 0);
  terminal.type('\u0003');
  await terminal.converse('echo $((40+2))', /42\r\n/);
  t.is(await terminal.end('exit 7'), 7);
  t.true(restored(terminal), terminal.output);

  const killed = await onTerminal(t, 'exec', '-it', 'web', 'sh');
  await killed.converse('stty size', /27 91\r\n/);
  t.is(await killed.end('kill -KILL $$'), 137);
  t.true(restored(killed), killed.output);
});

test.serial('-it without a terminal is refused', async (t) => {
  const { cli } = shared;
  const { code, stderr } = await cli.run('exec', '-it', 'web', 'sh');
  t.deepEqual([code, stderr.includes('the input device is not a TTY')], [125, true]);
  t.is((await cli.run('exec', '-t', 'web', 'sh', '-c', 'test -t 1 && echo yes')).stdout, 'yes\r\n');
});

for (const handler of ['lxc', 'crun']) {
  test.serial(`run -i forwards stdin and loses no output: ${handler}`, async (t) => {
    const { cli } = shared;
    const feed = (input: string, script: string) =>
      cli.feed(input, 'run', '-i', '--handler', handler, IMAGE, '--', 'sh', '-c', script);
    t.deepEqual(await feed('a\nb\n', `echo begin; ${ECHO}`), {
      code: 3,
      stdout: 'begin\ngot a\ngot b\nover\n',
      stderr: '',
    });
    for (let i = 0; i < 4; i++)
      t.deepEqual(await feed('', 'echo short; exit 5'), { code: 5, stdout: 'short\n', stderr: '' });
  });

  test.serial(`run -it has a terminal: ${handler}`, async (t) => {
    const terminal = await onTerminal(t, 'run', '-it', '--handler', handler, IMAGE, 'sh');
    await terminal.converse('stty size', /27 91\r\n/);
    await terminal.resize({ width: 77, height: 33 });
    await terminal.converse('stty size', /33 77\r\n/);
    t.is(await terminal.end('exit 9'), 9);
    t.true(restored(terminal), terminal.output);
  });
}

test.serial('attach forwards both streams and returns the exit code', async (t) => {
  const { cli } = shared;
  t.is((await cli.run('run', '-di', '--name', 'echo', IMAGE, '--', 'sh', '-c', ECHO)).code, 0);
  t.teardown(() => cli.run('rm', '-f', 'echo'));
  const attached = cli.start('attach', 'echo');
  const asking = setInterval(() => attached.process.stdin.write('one\n'), 300);
  await cli.output(attached).finally(() => {
    clearInterval(asking);
  });
  const watching = cli.start('attach', '--no-stdin', 'echo');
  const again = setInterval(() => attached.process.stdin.write('two\n'), 300);
  await cli.output(watching).finally(() => {
    clearInterval(again);
  });
  t.is((await cli.run('stop', '-t', '0', 'echo')).code, 0);
  t.is((await watching.done).code, 137);
  t.is((await attached.done).code, 137);
  t.regex((await attached.done).stdout, /^(got one\n)+(got two\n)+$/);
  t.is((await cli.run('attach', 'echo')).code, 125);
});

test.serial('The detach keys leave the container running', async (t) => {
  const { cli } = shared;
  const terminal = await onTerminal(t, 'run', '-it', '--name', 'stays', IMAGE, 'sh');
  t.teardown(() => cli.run('rm', '-f', 'stays'));
  await terminal.converse('stty size', /27 91\r\n/);
  terminal.type('\u0010\u0011');
  t.is(await terminal.ended(), 0);
  t.true(restored(terminal), terminal.output);
  t.regex((await cli.run('ps')).stdout, /stays/);
  const back = await onTerminal(t, 'attach', '--detach-keys', 'ctrl-x,d', 'stays');
  await back.converse('stty size', /27 91\r\n/);
  back.type('\u0018d');
  t.is(await back.ended(), 0);
  const last = await onTerminal(t, 'attach', 'stays');
  await last.converse('stty size', /27 91\r\n/);
  t.is(await last.end('exit 6'), 6);
  t.true(restored(last), last.output);
});

test.serial('Ctrl-C ends a command that ignores it', async (t) => {
  const { cli } = shared;
  const deaf = cli.start('run', IMAGE, '--', 'sh', '-c', 'echo up; exec sleep 1000');
  await cli.output(deaf);
  const before = performance.now();
  deaf.process.kill('SIGINT');
  t.is((await deaf.done).code, 137);
  t.log(`ended after ${String(Math.round(performance.now() - before))} ms`);
});
