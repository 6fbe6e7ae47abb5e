import type { Socket } from 'node:net';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import type { StepResult } from '../native/messages.ts';
import { programEnv } from '../processes/programs.ts';
import { startProgram } from '../processes/start-program.ts';

/** An entry of a tree. */
export interface TreeEntry {
  /** Bytes from the tree's root as a Latin-1 string, in which {@link SEPARATOR} stands for "/" and "/" for a line break. */
  key: string;
  /** find(1)'s letter: d for a directory. */
  type: string;
  /** Mode, owner, times and size: two that are the same have the same content and attributes. */
  facts: string;
}

/** Stands for "/" in keys: below every other byte, so that a directory is followed by its content. */
export const SEPARATOR = '\0';

// Another time is another file, and a directory has no size of its own.
const FACTS = '%P//%y%m %U %G %T@ %C@';
const PRINT = ['(', '-type', 'd', '-printf', `${FACTS}\\0`, '-o', '-printf', `${FACTS} %s\\0`, ')'];
const FIND = ['find', '-P', '.', '-ignore_readdir_race', '-xdev', '-mindepth', '1', ...PRINT];
const SORT = ['sort', '--buffer-size=16M'];
const WORDS = { kind: 'capture', limit: 4000 } as const;
const ENVIRONMENT: NodeJS.ProcessEnv = { ...programEnv, LC_ALL: 'C' };

/** "/" becomes NUL, NUL a line break, and a line break "/": sort(1) then sorts trees, and no byte is lost. */
const SWAPPED = swap([
  ['/', '\0'],
  ['\0', '\n'],
  ['\n', '/'],
]);
const BACK = swap([
  ['\0', '/'],
  ['/', '\n'],
]);

/**
 * Everything below a directory in batches, ordered by key. By find(1) and sort(1): this process neither waits for the disk nor
 * keeps the tree in memory, and find leaves the tree through no link, also while others change it.
 * @throws CriError UNAVAILABLE without these programs, Error with their words; the signal's reason.
 */
export async function* sortedEntries(directory: string, signal?: AbortSignal): AsyncGenerator<TreeEntry[]> {
  const kill = new AbortController();
  const stop = signal === undefined ? kill.signal : AbortSignal.any([signal, kill.signal]);
  const opened: Socket[] = [];
  const start = async <Pipe extends number>(
    cwd: string,
    argv: string[],
    pipes: Readonly<Record<Pipe, 'in' | 'out'>>,
  ) => {
    const program = await startProgram({ argv, env: ENVIRONMENT, cwd, pipes, descriptors: { 2: WORDS } }, stop);
    opened.push(...Object.values<Socket>(program.pipes));
    return program;
  };
  try {
    const find = await start(directory, FIND, { 1: 'out' });
    const sort = await start('/', SORT, { 0: 'in', 1: 'out' });
    const fed = pipeline(find.pipes[1], translation(SWAPPED), sort.pipes[0]);
    // The programs' results have the reason.
    fed.catch(() => undefined);
    yield* entriesOf(sort.pipes[1]);
    throwIfFailed('find', await find.ended);
    throwIfFailed('sort', await sort.ended);
    await fed;
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    kill.abort();
    for (const socket of opened) socket.destroy();
  }
}

/** The path of an entry. */
export function pathOfKey(key: string): Buffer {
  return translated(Buffer.from(key, 'latin1'), BACK);
}

async function* entriesOf(lines: AsyncIterable<Buffer>): AsyncGenerator<TreeEntry[]> {
  let rest = '';
  for await (const chunk of lines) {
    const complete = (rest + chunk.toString('latin1')).split('\n');
    rest = complete.pop() ?? '';
    if (complete.length > 0) yield complete.map(entryOf);
  }
}

function entryOf(line: string): TreeEntry {
  const end = line.indexOf(SEPARATOR + SEPARATOR);
  return { key: line.slice(0, end), type: line.charAt(end + 2), facts: line.slice(end + 2) };
}

function translation(table: Buffer): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      done(null, translated(chunk, table));
    },
  });
}

function translated(bytes: Buffer, table: Buffer): Buffer {
  for (let at = 0; at < bytes.length; at++) bytes[at] = table[bytes[at] ?? 0] ?? 0;
  return bytes;
}

function swap(pairs: readonly (readonly [string, string])[]): Buffer {
  const table = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  for (const [from, to] of pairs) table[from.charCodeAt(0)] = to.charCodeAt(0);
  return table;
}

function throwIfFailed(program: string, { status, problem, exit, outputs }: StepResult): void {
  if (status === 'failed') {
    throw new CriError(StatusCode.UNAVAILABLE, `cannot run ${program}`, { cause: new Error(problem) });
  }
  const words = outputs.get(2)?.bytes.toString('utf8').trim().slice(-500);
  if (exit?.code !== 0) throw new Error(`${program} failed: ${words || 'killed'}`);
}
