// Packs, lists, verifies, unpacks and imports an encrypted BFC image of 4 GiB by the commands, and measures them and the server; argument: [GIB].
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { RuntimeServiceService } from '../../api/gen/cri.ts';
import { run } from '../../src/host/processes/run.ts';
import { measured } from '../fixtures/bounds/measure.ts';
import { ServerFixture, type Owner } from '../integration/server-fixture.ts';
import { programFile } from '../lib/program.ts';

/** MB of resident memory that a command may take, and by which an import may let the server grow. */
const MAX_MB = 200;
const MIB = 2 ** 20;
const FILES = 4;
const NAME = 'r.example/large:1';
/** Milliseconds between looks at a command's memory. */
const LOOK_MS = 20;

const [gib = '4'] = process.argv.slice(2);
const problems: string[] = [];
const steps: (() => unknown)[] = [];
const log = (...values: unknown[]) => void process.stderr.write(`${values.map(String).join(' ')}\n`);
const owner: Owner = { teardown: (step) => void steps.push(step), log: log as Owner['log'], passed: true };

try {
  // Not in /tmp, which may be memory.
  const directory = await mkdtemp('/var/tmp/bfc-commands-');
  steps.push(() => rm(directory, { recursive: true }));
  process.env['TMPDIR'] = directory;
  const place = (name: string) => join(directory, name);
  const digests = await writeImage(place('root'), place('root.tar'));
  const key = ['--key-file', place('key')];
  await writeFile(place('key'), Buffer.alloc(32, 'K'));

  await command('pack', [place('root.tar'), place('large.bfc'), '--name', NAME, ...key]);
  await rm(place('root.tar'));
  await command('list', [place('large.bfc'), ...key]);
  await command('info', [place('large.bfc'), ...key]);
  await command('verify', ['--deep', place('large.bfc'), ...key]);
  await command('unpack', [place('large.bfc'), place('layout'), ...key]);
  await rm(place('layout'), { recursive: true });

  const server = await ServerFixture.make(owner);
  const address = ['--address', `unix://${server.socket}`];
  const { figures } = await measured(server.pid, () => command('import', [place('large.bfc'), ...key, ...address]));
  const inMb = (mib: number) => (mib * MIB) / 1e6;
  note('the server more', inMb(figures.above), figures.seconds + figures.helperSeconds);
  console.log(
    `  above ${inMb(figures.idle).toFixed(0)} MB; its helper programs ${inMb(figures.helpers).toFixed(0)} MB`,
  );
  const pod = await server.pod('large');
  const id = await server.sh(pod, 'c', '/bin/busybox sha256sum /data/*', { image: { image: NAME } });
  await server.exit(id);
  const found = (await server.output('large', 'c')).match(/^[0-9a-f]{64}/gm);
  if (JSON.stringify(found) !== JSON.stringify(digests)) problems.push('the container reads other content');
  await server.client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: pod });
  console.log(`container ${id.slice(0, 12)} read ${String(FILES)} files of ${gib} GiB in all`);
} finally {
  for (const step of steps.reverse()) await step();
}
for (const problem of problems) console.error(problem);
console.log(`${String(problems.length)} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;

/** Writes a tarball of a root with busybox and random files. Returns the digests of these. */
async function writeImage(root: string, tarball: string): Promise<string[]> {
  await mkdir(join(root, 'bin'), { recursive: true });
  await mkdir(join(root, 'data'));
  await run('cp', ['/bin/busybox', join(root, 'bin')]);
  await run('ln', ['-s', 'busybox', join(root, 'bin', 'sh')]);
  const size = Math.floor((Number(gib) * 2 ** 30) / FILES);
  const digests: string[] = [];
  for (let index = 0; index < FILES; index++) {
    const file = join(root, 'data', String(index));
    await run('sh', ['-c', `head -c ${String(size)} /dev/urandom >"$1"`, 'sh', file], { timeoutMs: 3_600_000 });
    const hash = createHash('sha256');
    await pipeline(createReadStream(file), hash);
    digests.push(hash.digest('hex'));
  }
  await run('tar', ['-C', root, '-cf', tarball, '.'], { timeoutMs: 3_600_000 });
  await rm(root, { recursive: true });
  return digests;
}

/** Runs a command of `bfc` as an operator does, and notes what it took. */
async function command(name: string, args: string[]): Promise<void> {
  const env = { ...process.env, NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? '.cache/node' };
  const child = spawn(process.execPath, [programFile('main'), 'bfc', name, ...args], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  let [peak, seconds] = [0, 0];
  const look = async () => {
    const of = (file: string) => readFile(`/proc/${String(child.pid)}/${file}`, 'utf8').catch(() => '');
    peak = Math.max(peak, Number(/^VmHWM:\s+(\d+)/m.exec(await of('status'))?.[1] ?? 0) * 1024);
    const fields = (await of('stat')).split(') ')[1]?.split(' ') ?? [];
    seconds = Math.max(seconds, (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / 100);
  };
  const timer = setInterval(() => void look(), LOOK_MS);
  const code = await new Promise((resolve) => child.once('close', resolve));
  clearInterval(timer);
  if (code !== 0) throw new Error(`bfc ${name} exited with code ${String(code)}`);
  note(name, peak / 1e6, seconds);
}

function note(what: string, mb: number, seconds: number): void {
  console.log(`${what.padEnd(24)} ${mb.toFixed(0).padStart(4)} MB ${seconds.toFixed(1).padStart(6)} s of CPU`);
  if (mb > MAX_MB) problems.push(`${what} took ${mb.toFixed(0)} MB`);
}
