import test from 'ava';
import { once } from 'node:events';
import { lstat, mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { eventually } from '../lib/eventually.ts';
import { sharedServer } from './cli-fixture.ts';
import { processesWith } from './runner-fixture.ts';
import { IMAGE } from './server-fixture.ts';

const SERVE = 'mkdir /www; echo page >/www/index.html; exec httpd -f -p 80 -h /www';
const BUSY = 'while :; do :; done';
const shared = sharedServer(test, async (cli) => {
  const { code, stderr } = await cli.run(
    'run',
    '-d',
    '--name',
    'web',
    '--memory',
    '64M',
    IMAGE,
    '--',
    'sh',
    '-c',
    SERVE,
  );
  if (code !== 0) throw new Error(stderr);
  await eventually('the web server', async () => / 0.0.0.0:80 |:::80 /.test(await inside('netstat -ltn')));
});

/** The output of a command in the container. */
async function inside(script: string): Promise<string> {
  return (await shared.cli.run('exec', 'web', '--', 'sh', '-c', script)).stdout;
}

/** The response of a web server behind a local port. */
async function get(port: number, path: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.end(`GET ${path} HTTP/1.0\r\n\r\n`);
  return (await buffer(socket)).toString();
}

test.serial('port-forward forwards connections until it is interrupted', async (t) => {
  const { cli } = shared;
  const forwarding = cli.start('port-forward', 'web', ':80', '0:81');
  let said = '';
  forwarding.process.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  while (!said.includes('81\n')) await once(forwarding.process.stdout, 'data');
  const [, web, closed] =
    /^Forwarding from 127\.0\.0\.1:(\d+) -> 80\nForwarding from 127\.0\.0\.1:(\d+) -> 81\n$/.exec(said) ?? [];
  const pages = await Promise.all([1, 2, 3].map(() => get(Number(web), '/index.html')));
  for (const page of pages) t.regex(page, /^HTTP\/1\.\d 200 OK[^]*\r\n\r\npage\n$/);
  t.is(await get(Number(closed), '/').catch(() => ''), '');
  const taken = await cli.run('port-forward', 'web', `${String(web)}:80`);
  t.is(taken.code, 1);
  t.regex(taken.stderr, /cannot listen on 127\.0\.0\.1, port \d+: .*EADDRINUSE/);
  forwarding.process.kill('SIGINT');
  const { code, stderr } = await forwarding.done;
  t.is(code, 0);
  t.regex(stderr, /^Port 81: .*refused/);
  t.is((await cli.run('port-forward', 'web', '70000')).code, 2);
});

test.serial('cp copies files and directories both ways', async (t) => {
  const { cli, server } = shared;
  const here = join(server.directory, 'copies');
  await mkdir(join(here, 'tree/deep'), { recursive: true });
  await writeFile(join(here, 'one'), 'one\n', { mode: 0o640 });
  await writeFile(join(here, 'tree/deep/two'), 'two\n');
  await symlink('deep/two', join(here, 'tree/link'));
  const cp = async (...words: string[]) => {
    t.deepEqual(await cli.run('cp', ...words), { code: 0, stdout: '', stderr: '' }, words.join(' '));
  };
  await cp(join(here, 'one'), 'web:/tmp');
  await cp(join(here, 'one'), 'web:/tmp/new&name');
  await cp(join(here, 'tree'), 'web:/tmp/');
  await cp(join(here, 'tree'), 'web:/tmp/other');
  t.is(
    await inside('cd /tmp; cat one "new&name" tree/link other/deep/two; stat -c %a:%u one'),
    'one\none\ntwo\ntwo\n640:0\n',
  );

  const back = join(here, 'back');
  await mkdir(back);
  await cp('web:/tmp/one', back);
  await cp('web:/tmp/one', join(back, 'renamed'));
  await cp('web:/tmp/tree', back);
  await cp('web:/tmp/tree', back); // Into an existing directory.
  t.is(await readFile(join(back, 'renamed'), 'utf8'), 'one\n');
  t.is(await readFile(join(back, 'tree/link'), 'utf8'), 'two\n');
  t.deepEqual((await readdir(back)).sort(), ['one', 'renamed', 'tree']);

  const absent = await cli.run('cp', 'web:/tmp/nothing', back);
  t.is(absent.code, 125);
  t.regex(absent.stderr, /tar in the container failed/);
  t.like(await cli.run('cp', join(here, 'nothing'), 'web:/tmp'), { code: 125 });
  t.like(await cli.run('cp', 'web:/a', 'web:/b'), { code: 125 });
  t.deepEqual((await readdir(here)).sort(), ['back', 'one', 'tree']);
});

test.serial('diff lists what a container has changed', async (t) => {
  const { cli } = shared;
  const name = '"/new/$(printf "\\377\\nx")"';
  await inside(`mkdir -p /new /etc/sub; : >${name}; echo >>/etc/passwd; rm /bin/ash; rm -r /var; mkdir /var`);
  const { code, stdout, stderr } = await cli.run('diff', 'web');
  t.deepEqual([code, stderr], [0, '']);
  // Those of the other tests, and what the runtime mounts in /etc.
  const lines = stdout.split('\n').filter((line) => !/^. \/(tmp|www)/.test(line));
  const expected = [
    'C /bin',
    'D /bin/ash',
    'C /etc',
    'C /etc/passwd',
    'A /etc/sub',
    'A /new',
    'A /new/\\xff\\nx',
    'C /var',
  ];
  t.deepEqual(lines, [...expected, '']);
  const changes = JSON.parse((await cli.run('diff', 'web', '-o', 'json')).stdout) as { path: string; kind: string }[];
  t.is(changes.length, stdout.split('\n').length - 1);
  t.like(
    changes.find(({ path }) => path.startsWith('/new/')),
    { kind: 'A', path: '/new/\ufffd\nx', pathBase64: Buffer.from('/new/\xff\nx', 'latin1').toString('base64') },
  );
  t.like(await cli.run('diff', 'nothing'), { code: 1, stdout: '' });
});

test.serial('commit makes an image of a container', async (t) => {
  const { cli, server } = shared;
  const name = 'localhost/web:committed';
  await inside(
    'mkdir -p /kept/deep; echo hi >/kept/deep/file; ln /kept/deep/file /kept/name; chown 7:8 /kept/deep; chmod 2751 /kept/deep; ln -s deep /kept/link; rm /bin/cat; mkfifo /kept/fifo',
  );
  const tree = (inContainer: (script: string) => Promise<string>) =>
    inContainer("find /bin /kept /new /var /home /root -exec stat -c '%n %f %u:%g %s %Y %N' {} + | sort");
  const made = await cli.run(
    'commit',
    'web',
    name,
    '-c',
    'CMD=["sed","","/kept/link/file"]',
    '-c',
    'ENV=WHO=me',
    '-m',
    'why',
  );
  t.regex(made.stdout, /^sha256:[0-9a-f]{64}\n$/, made.stderr);
  t.is((await cli.run('run', name)).stdout, 'hi\n');
  const run = async (script: string) => (await cli.run('run', name, '--', 'sh', '-c', script)).stdout;
  t.is(await tree(run), await tree(inside));
  t.is(await run('echo "$WHO"; test -e /bin/cat || echo gone; stat -c %h /kept/name'), 'me\ngone\n2\n');
  const names = async () => (await cli.run('images', '--names')).stdout;
  t.regex(await names(), /^localhost\/web:committed$/m);
  const again = await cli.run('commit', 'web', name, '--no-pause', '-c', 'CMD=true');
  t.not(again.stdout, made.stdout);

  await inside('touch /kept/.wh.file');
  const refused = await cli.run('commit', 'web', 'localhost/web:other');
  t.like(refused, { code: 1 });
  t.regex(refused.stderr, /"\/kept\/\.wh\.file": names that begin with/);
  t.regex(
    (await cli.run('commit', 'web', 'localhost/web:other', '-c', 'RUN=x')).stderr,
    /changes\[0\]: .*is none of CMD/,
  );
  t.notRegex(await names(), /other/);
  await inside('rm /kept/.wh.file');
  const needsZfs = /the store overlayfs cannot send and receive streams of ZFS; use export and import/;
  t.regex((await cli.run('send', 'web')).stderr, needsZfs);
  t.regex((await cli.feed(Buffer.alloc(4_000_000), 'receive')).stderr, needsZfs);
  t.deepEqual(await readdir(join(server.directory, 'root/export')), []);
});

test.serial('cp from a container writes nowhere else', async (t) => {
  const { cli, server } = shared;
  const target = join(server.directory, 'brought');
  await inside(
    'mkdir /tmp/evil; cd /tmp/evil; cp /bin/busybox suid; chown 1000 suid; chmod 6755 suid; mknod null c 1 3; mkfifo pipe; ln -s /etc out; true',
  );
  t.is((await cli.run('cp', 'web:/tmp/evil', target)).code, 0);
  t.deepEqual((await readdir(target)).sort(), ['out', 'suid']);
  const { mode, uid } = await lstat(join(target, 'suid'));
  t.deepEqual([mode & 0o7777, uid], [0o755, 0]);

  // A malicious tar: a link out of the directory, and a file through it.
  const lie =
    'mkdir -p a/x; ln -s /tmp/lied a/x/l; tar -cf /one a; rm a/x/l; mkdir a/x/l; echo b >a/x/l/f; tar -cf /two a/x/l/f';
  const fake = `cd /; ${lie}; printf '#!/bin/sh\\ncat /one /two\\n' >/tmp/tar; chmod 755 /tmp/tar; cp /tmp/tar /bin/tar`;
  await inside(`rm -f /tmp/tar; ${fake}`);
  await cli.run('cp', 'web:/a', join(server.directory, 'lied'));
  await t.throwsAsync(lstat('/tmp/lied/f'), { code: 'ENOENT' });
});

test.serial('stats shows the usage of containers', async (t) => {
  const { cli } = shared;
  const busy = cli.start('exec', 'web', '--', 'sh', '-c', `echo up; ${BUSY}`);
  await cli.output(busy);
  const { code, stdout } = await cli.run('stats', '--no-stream', '--format', 'json', 'web');
  t.is(code, 0);
  const { stats } = JSON.parse(stdout) as { stats: { name: string; cpuPercent: number; memoryBytes: string }[] };
  t.is(stats.length, 1);
  t.is(stats[0]?.name, 'web');
  t.true((stats[0]?.cpuPercent ?? 0) > 0.5 && Number(stats[0]?.memoryBytes) > 0, stdout);
  busy.process.kill('SIGTERM');
  await busy.done;
  await eventually('the end of the loop', async () => (await processesWith(BUSY)).length === 0);
  const table = /^CONTAINER +NAME +CPU +MEMORY +LIMIT +WRITTEN\n[0-9a-f]{13} +web +[\d.]+% +[\d.]+ \wi?B/;
  t.regex((await cli.run('stats', '--no-stream')).stdout, table);
  const following = cli.start('stats');
  await cli.output(following);
  following.process.kill('SIGINT');
  t.is((await following.done).code, 0);
  t.regex((await following.done).stdout, table);
});

test.serial('top lists processes without ps in the container', async (t) => {
  const { cli } = shared;
  const other = cli.start('exec', 'web', '--', 'sh', '-c', 'echo up; exec sleep 4321');
  await cli.output(other);
  const { stdout } = await cli.run('top', 'web');
  other.process.kill('SIGTERM');
  await other.done;
  const lines = stdout.trimEnd().split('\n');
  t.regex(lines[0] ?? '', /^PID +PPID +UID +STATE +TIME +RSS +COMMAND$/);
  t.true(
    lines.some((line) => /^\d+ +\d+ +0 +S +0:\d\d +.* httpd -f -p 80/.test(line)),
    stdout,
  );
  t.true(
    lines.some((line) => line.endsWith('sleep 4321')),
    stdout,
  );
  t.is(lines.length, 3, stdout);
});

test.serial('events prints the events of containers and pods', async (t) => {
  const { cli } = shared;
  const [lines, objects] = [cli.start('events'), cli.start('events', '--format', 'json')];
  let said = '';
  lines.process.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const output = cli.output(objects);
  const started = /^\d{4}-\d\d-\d\dT[\d:.]{18}Z container started ([0-9a-f]{64}) name=short pod=default\/short$/m;
  const deleted = () =>
    new RegExp(`container deleted ${started.exec(said)?.[1] ?? 'none'} name=short pod=default/short$`, 'm');
  // Earlier events are not sent: events are triggered until those of a whole life have arrived.
  do t.is((await cli.run('run', '--name', 'short', IMAGE, 'true')).code, 0);
  while (!started.test(said));
  await eventually('the deletion', () => deleted().test(said));
  await output;
  for (const { process: child, done } of [lines, objects]) {
    child.kill('SIGINT');
    t.is((await done).code, 0);
  }
  const first = JSON.parse((await objects.done).stdout.split('\n')[0] ?? '') as Record<string, string>;
  t.deepEqual(Object.keys(first), ['time', 'event', 'kind', 'id', 'name', 'pod', 'namespace']);
});
