// Packs, opens, verifies and unpacks BFC files of 4 GiB and of 100,000 entries; arguments: [GIB [ENTRIES]].
import { spawnSync } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { mkdtemp, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openBfc } from '../../src/integrations/bfc/reader.ts';
import { repackBfc } from '../../src/integrations/bfc/repack.ts';
import { unpackBfc } from '../../src/integrations/bfc/unpack.ts';
import { verifyBfc } from '../../src/integrations/bfc/verify.ts';
import { createBfc } from '../../src/integrations/bfc/writer.ts';

const CHUNK = 262_144;
const KEY = Buffer.alloc(32, 'K');
/** MB of resident memory that a phase on a large file may take, and milliseconds of processor time of its open. */
const MAX_MB = 200;
const MAX_OPEN_MS = 100;
/** Times the processor time, for four times the entries. */
const MAX_GROWTH = 6;
const attributes = { mode: 0o644, mtime: 1_704_164_645_000_000_000n };
/** One byte more than whole chunks. */
const kinds: Record<string, { level?: number; encrypted: boolean }> = {
  plain: { encrypted: false },
  compressed: { level: 3, encrypted: false },
  encrypted: { encrypted: true },
  both: { level: 3, encrypted: true },
};

interface Phase {
  /** Megabytes at most, milliseconds, seconds of processor time. */
  mb: number;
  ms: number;
  cpu: number;
  /** Without the kernel, which may wait for the journal of a disk. */
  user: number;
}

/** Chunk `index` of the content: random, and where it shall be compressed, half of it zeros. */
function chunk(index: number, halved: boolean): Buffer {
  const counter = Buffer.alloc(16);
  counter.writeUInt32LE(index, 8);
  const bytes = createCipheriv('chacha20', KEY, counter).update(Buffer.alloc(CHUNK));
  return halved ? bytes.fill(0, CHUNK / 2) : bytes;
}

function* content(size: number, halved: boolean): Generator<Buffer> {
  for (let at = 0, index = 0; at < size; at += CHUNK, index++) yield chunk(index, halved).subarray(0, size - at);
}

/** 200 in a directory; directories and files in no order. */
function* manyPaths(count: number): Generator<string> {
  for (let index = 0; index < count; index++) {
    const directory = (Math.floor(index / 200) * 7919) % Math.ceil(count / 200);
    yield `tree/${String(directory).padStart(4, '0')}/file-${String((index * 61) % 200)}`;
  }
}

const phases: Record<string, (file: string, argument: string) => Promise<unknown>> = {
  pack: async (file, argument) => {
    const [kind = '', size = ''] = argument.split(':');
    const { level, encrypted } = kinds[kind]!;
    const secret = encrypted ? ({ kind: 'key', key: KEY } as const) : undefined;
    await using writer = await createBfc(file, { compressionLevel: level, secret });
    await writer.addFile('large', { ...attributes, size: Number(size) }, content(Number(size), level !== undefined));
    await writer.finish();
  },
  packMany: async (file, count) => {
    await using writer = await createBfc(file, { compressionLevel: 3 });
    const text = Buffer.from('content of some length, content of some length, content of some length\n');
    for (const path of manyPaths(Number(count))) {
      await writer.addFile(path, { ...attributes, size: text.length }, [text]);
    }
    await writer.finish();
  },
  open: async (file) => {
    await (await openBfc(file)).close();
  },
  verify: async (file) => {
    await using reader = await openBfc(file, { secret: { kind: 'key', key: KEY } });
    const { failed } = await verifyBfc(reader);
    if (failed > 0) throw new Error(`${String(failed)} entries failed`);
  },
  range: async (file) => {
    await using reader = await openBfc(file, { secret: { kind: 'key', key: KEY } });
    const entry = reader.get('large');
    const offset = Math.floor((entry.size - 2) / CHUNK) * CHUNK;
    const expected = chunk(offset / CHUNK, entry.compressed).subarray(0, 1000);
    const parts: Buffer[] = [];
    for await (const part of reader.range(entry, offset, 1000)) parts.push(part);
    if (!Buffer.concat(parts).equals(expected)) throw new Error('the range is another one');
  },
  repack: async (file, target) => {
    await using reader = await openBfc(file, { secret: { kind: 'key', key: KEY } });
    await using writer = await createBfc(target, { compressionLevel: 3, secret: { kind: 'key', key: KEY } });
    await repackBfc(writer, reader);
    await writer.finish();
  },
  unpack: async (file, target) => {
    await using reader = await openBfc(file, { secret: { kind: 'key', key: KEY } });
    await unpackBfc(reader, target);
  },
};

const [first = '4', second = '100000', argument = ''] = process.argv.slice(2);
if (first in phases) {
  const begin = performance.now();
  const before = process.cpuUsage();
  await phases[first]!(second, argument);
  const { user, system } = process.cpuUsage(before);
  const figures: Phase = {
    mb: (process.resourceUsage().maxRSS * 1024) / 1e6,
    ms: performance.now() - begin,
    cpu: (user + system) / 1e6,
    user: user / 1e6,
  };
  console.log(JSON.stringify(figures));
} else {
  process.exitCode = (await measureAll(Number(first), Number(second))) ? 0 : 1;
}

/** In a process of its own, started as the product is: without reading types. */
function phase(name: string, file: string, extra = ''): Phase {
  const env = { ...process.env, NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? '.cache/node' };
  const { stdout, stderr, status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), name, file, extra], {
    encoding: 'utf8',
    env,
  });
  if (status !== 0) throw new Error(`${name} ${file}: ${stderr}`);
  return JSON.parse(stdout) as Phase;
}

async function measureAll(gib: number, entries: number): Promise<boolean> {
  // Not in /tmp, which may be memory.
  const directory = await mkdtemp('/var/tmp/bfc-large-');
  const problems: string[] = [];
  const note = (what: string, { mb, ms, cpu }: Phase) => {
    console.log(
      `${what.padEnd(28)} ${mb.toFixed(0).padStart(4)} MB ${ms.toFixed(0).padStart(7)} ms ${cpu.toFixed(1).padStart(6)} s of CPU`,
    );
    if (what.includes('entries')) return;
    if (mb > MAX_MB) problems.push(`${what} took ${mb.toFixed(0)} MB`);
    // Of this processor: other work on the machine counts not.
    if (what.startsWith('open') && cpu * 1000 > MAX_OPEN_MS)
      problems.push(`${what} took ${(cpu * 1000).toFixed(0)} ms`);
  };
  try {
    const size = gib * 2 ** 30 + 1;
    for (const kind of Object.keys(kinds)) {
      const file = join(directory, `${kind}.bfc`);
      const target = join(directory, 'target');
      note(`pack ${kind}`, phase('pack', file, `${kind}:${String(size)}`));
      for (const name of ['open', 'verify', 'range']) note(`${name} ${kind}`, phase(name, file));
      note(`repack ${kind}`, phase('repack', file, target));
      await rm(file);
      note(`unpack ${kind}`, phase('unpack', target, file));
      await rm(target);
      await rename(file, target);
      problems.push(...(await differences(join(target, 'large'), size, kinds[kind]!.level !== undefined)));
      await rm(target, { recursive: true });
    }
    const times = new Map<string, number[]>();
    for (const count of [entries / 4, entries]) {
      const file = join(directory, `${String(count)}.bfc`);
      const target = join(directory, 'target');
      for (const [name, extra] of [
        ['packMany', String(count)],
        ['open', ''],
        ['verify', ''],
        ['unpack', target],
      ] as const) {
        const figures = phase(name, file, extra);
        note(`${name} ${String(count)} entries`, figures);
        times.set(name, [...(times.get(name) ?? []), figures.user]);
      }
      const names = await readdir(target, { recursive: true });
      if (names.filter((path) => path.includes('/file-')).length !== count) problems.push(`not ${String(count)} files`);
      await rm(target, { recursive: true });
    }
    for (const [name, [some = 0, all = 0]] of times) {
      if (name !== 'open' && all > MAX_GROWTH * some)
        problems.push(`${name} is not linear: ${String(some)} s, ${String(all)} s`);
    }
  } finally {
    await rm(directory, { recursive: true });
  }
  for (const problem of problems) console.error(problem);
  console.log(`${String(problems.length)} problems`);
  return problems.length === 0;
}

/** Of an unpacked file: its size, and a thousand of its chunks. */
async function differences(path: string, size: number, halved: boolean): Promise<string[]> {
  const found = await stat(path);
  if (found.size !== size) return [`${path} has ${String(found.size)} bytes`];
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(CHUNK);
    const chunks = Math.floor(size / CHUNK);
    for (let index = 0; index < chunks; index += Math.ceil(chunks / 1000)) {
      await file.read(buffer, 0, CHUNK, index * CHUNK);
      if (!buffer.equals(chunk(index, halved))) return [`${path} differs in chunk ${String(index)}`];
    }
    return [];
  } finally {
    await file.close();
  }
}
