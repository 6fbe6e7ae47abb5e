import { isUtf8 } from 'node:buffer';
import { resolve } from 'node:path';
import type { CliContext, Input } from '../command.ts';
import { pathText } from '../output/path-text.ts';
import { formatBytes } from '../output/units.ts';
import { writeAll } from '../output/write.ts';
import type { ListedEntry } from './files.ts';

const SECOND = 1_000_000_000n;
const TYPES = { file: '-', directory: 'd', symlink: 'l' } as const;

/** Prints the entries of a BFC file, a line each. @throws CriError */
export async function listEntries(context: CliContext, input: Input): Promise<void> {
  const asJson = input.has('json');
  let count = 0;
  const format = (entry: ListedEntry) => {
    if (!asJson) return `${lineOf(entry)}\n`;
    return `${count++ === 0 ? '[\n' : ',\n'}  ${JSON.stringify(jsonOf(entry))}`;
  };
  for await (const entries of (await context.bfcFiles()).list(resolve(input.args[0] ?? ''))) {
    await writeAll(context.stdout, entries.map(format).join(''));
    if (context.stdout.destroyed) return;
  }
  if (asJson) await writeAll(context.stdout, count === 0 ? '[]\n' : '\n]\n');
}

/** `-rw-r--r--    1.0 KiB  512 B ze 2026-11-30T12:00:00Z path`: kind and mode, size, stored size, compressed and encrypted, time. */
function lineOf({ path, type, mode, mtime, size, storedSize, compressed, encrypted, target }: ListedEntry): string {
  const sizes = [size, storedSize].map((bytes) => formatBytes(BigInt(bytes)).padStart(10));
  const how = `${compressed ? 'z' : '-'}${encrypted ? 'e' : '-'}`;
  const link = target === undefined ? '' : ` -> ${pathText(target)}`;
  return [modeText(type, mode), ...sizes, how, `${secondsText(mtime)}Z`, `${pathText(path)}${link}`].join(' ');
}

/** A time in nanoseconds since 1970, also one before, in UTC without its fraction of a second. */
function secondsText(nanoseconds: bigint): string {
  return new Date(Number(floorSeconds(nanoseconds)) * 1000).toISOString().slice(0, 19);
}

function floorSeconds(nanoseconds: bigint): bigint {
  const seconds = nanoseconds / SECOND;
  return nanoseconds % SECOND < 0n ? seconds - 1n : seconds;
}

/** As ls(1) shows it. */
function modeText(type: ListedEntry['type'], mode: number): string {
  const letters = 'rwxrwxrwx'.split('').map((letter, at) => ((mode & (0o400 >> at)) === 0 ? '-' : letter));
  const special = [
    [0o4000, 2, 's'],
    [0o2000, 5, 's'],
    [0o1000, 8, 't'],
  ] as const;
  for (const [bit, at, letter] of special) {
    if ((mode & bit) !== 0) letters[at] = letters[at] === 'x' ? letter : letter.toUpperCase();
  }
  return `${TYPES[type]}${letters.join('')}`;
}

/** Other programs need the bytes of a name that is no text. */
function jsonOf({ path, target, mtime, mode, ...rest }: ListedEntry) {
  return {
    path: path.toString('utf8'),
    ...(isUtf8(path) ? {} : { pathBase64: path.toString('base64') }),
    ...rest,
    mode: mode.toString(8).padStart(4, '0'),
    mtime: `${secondsText(mtime)}.${String(mtime - floorSeconds(mtime) * SECOND).padStart(9, '0')}Z`,
    ...(target && {
      target: target.toString('utf8'),
      ...(isUtf8(target) ? {} : { targetBase64: target.toString('base64') }),
    }),
  };
}
