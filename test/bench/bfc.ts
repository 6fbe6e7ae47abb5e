// Packs and unpacks a tree beside tar and zstd, and encrypted beside tar, zstd and age, in one run.
//
//   node_modules/.bin/node test/bench/bfc.ts [DIRECTORY [ROUNDS]]
//
// DIRECTORY is the tree, by default node_modules; the second tree is its files of up to 64 KiB, the third one file of 256 MiB that
// compresses to half. Works in /dev/shm unless TMPDIR is set: a disk's delays are everybody's. Prints median seconds of each and of
// processor time, and their ratios to the peer: compare processor time, as the peer is two or three processes that other work on
// the machine takes apart. age (of Debian) is taken from PATH, or left out.
//
// The same on both sides: the level of zstd and one thread that compresses, an fsync of the packed file, none of the tree, modes and
// times. Ours runs in this process, as in the server: the start of Node.js, which is printed, does not count; those of the peer do.
import { spawnSync } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { cp, lstat, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { packDirectory } from '../../src/integrations/bfc/pack.ts';
import { openBfc } from '../../src/integrations/bfc/reader.ts';
import { unpackBfc } from '../../src/integrations/bfc/unpack.ts';
import { createBfc } from '../../src/integrations/bfc/writer.ts';
import { median } from './contenders.ts';

const LEVEL = 3;
const SMALL_BYTES = 65_536;
const secret = { kind: 'key', key: Buffer.alloc(32, 'K') } as const;

/** Returns the seconds of processor time of its programs. */
function shell(script: string, ...words: string[]): number {
  const timed = `set -euo pipefail; TIMEFORMAT='%U %S'; time { ${script}; }`;
  const { status, stderr } = spawnSync('bash', ['-c', timed, 'bash', ...words], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${script}: ${stderr}`);
  const [user, system] = (stderr.trim().split('\n').at(-1) ?? '').split(' ').map(Number);
  return (user ?? NaN) + (system ?? NaN);
}

interface Contender {
  pack: (tree: string, file: string) => unknown;
  unpack: (file: string, target: string) => unknown;
}

const ours = (encrypted: boolean): Contender => ({
  pack: async (tree, file) => {
    await using writer = await createBfc(file, { compressionLevel: LEVEL, secret: encrypted ? secret : undefined });
    await packDirectory(writer, tree);
    await writer.finish();
  },
  unpack: async (file, target) => {
    await using reader = await openBfc(file, { secret });
    await unpackBfc(reader, target);
  },
});

/** `sync -d` as ours waits for the disk. */
const tarZstd: Contender = {
  pack: (tree, file) => shell(`tar -C "$1" -cf - . | zstd -q -${String(LEVEL)} -o "$2"; sync -d "$2"`, tree, file),
  unpack: (file, target) => shell('mkdir "$2"; zstd -dcq "$1" | tar -C "$2" -xf -', file, target),
};

const tarZstdAge = (key: string): Contender => ({
  pack: (tree, file) =>
    shell(`tar -C "$1" -cf - . | zstd -q -${String(LEVEL)} | age -e -i "$3" -o "$2"; sync -d "$2"`, tree, file, key),
  unpack: (file, target) => shell('mkdir "$2"; age -d -i "$3" "$1" | zstd -dcq | tar -C "$2" -xf -', file, target, key),
});

const [tree = 'node_modules', rounds = '3'] = process.argv.slice(2);
const directory = await mkdtemp(join(process.env['TMPDIR'] ?? '/dev/shm', 'bfc-bench-'));
try {
  const large = join(directory, 'large');
  await mkdir(large);
  await writeFile(join(large, 'layer.tar'), halfRandom(256));
  const small = join(directory, 'small');
  await cp(resolve(tree), small, { recursive: true, filter: isSmall, verbatimSymlinks: true });
  const start = shell('"$1" -e 0', process.execPath);
  console.log(`start of Node.js: ${start.toFixed(2)} s of CPU`);
  const key = join(directory, 'age.key');
  const hasAge = succeeds(() => shell('age-keygen -o "$1" 2>/dev/null', key));
  if (!hasAge) console.log('age: left out; install it (apt-get install age)');
  for (const [name, path] of [
    ['tree', resolve(tree)],
    ['small files', small],
    ['one file', large],
  ] as const) {
    await compare(name, path, { 'tar | zstd': tarZstd, ours: ours(false) });
    if (hasAge) await compare(`${name}, encrypted`, path, { 'tar | zstd | age': tarZstdAge(key), ours: ours(true) });
  }
} finally {
  await rm(directory, { recursive: true });
}

async function compare(what: string, path: string, contenders: Record<string, Contender>): Promise<void> {
  const seconds = new Map<string, number[]>();
  const cpu = new Map<string, number[]>();
  let sizes = '';
  for (let round = 0; round < Number(rounds); round++) {
    for (const [name, { pack, unpack }] of Object.entries(contenders)) {
      const file = join(directory, 'packed');
      const target = join(directory, 'unpacked');
      await timed(`pack ${name}`, () => pack(path, file));
      if (round === 0) sizes += ` ${name} ${((await stat(file)).size / 1e6).toFixed(1)} MB`;
      await timed(`unpack ${name}`, () => unpack(file, target));
      await rm(file);
      await rm(target, { recursive: true });
    }
  }
  const [peer = ''] = Object.keys(contenders);
  for (const step of ['pack', 'unpack']) {
    const texts = [seconds, cpu].map((times) => {
      const [theirs = NaN, own = NaN] = [peer, 'ours'].map((name) => median(times.get(`${step} ${name}`) ?? []));
      return `${own.toFixed(2)} s, ${peer} ${theirs.toFixed(2)} s, ratio ${(own / theirs).toFixed(2)}`;
    });
    console.log(`${what}: ${step} ${texts.join('; of CPU ')}`);
  }
  console.log(`${what}:${sizes}`);

  async function timed(step: string, work: () => unknown): Promise<void> {
    const [begin, before] = [performance.now(), process.cpuUsage()];
    const children = await work();
    const { user, system } = process.cpuUsage(before);
    seconds.set(step, [...(seconds.get(step) ?? []), (performance.now() - begin) / 1000]);
    cpu.set(step, [...(cpu.get(step) ?? []), typeof children === 'number' ? children : (user + system) / 1e6]);
  }
}

async function isSmall(path: string): Promise<boolean> {
  const found = await lstat(path);
  return !found.isFile() || found.size <= SMALL_BYTES;
}

function succeeds(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

/** Mebibytes of which every second 64 KiB are zeros. */
function halfRandom(mebibytes: number): Buffer {
  const bytes = createCipheriv('chacha20', secret.key, Buffer.alloc(16)).update(Buffer.alloc(mebibytes * 2 ** 20));
  for (let at = 0; at < bytes.length; at += 131_072) bytes.fill(0, at, at + 65_536);
  return bytes;
}
