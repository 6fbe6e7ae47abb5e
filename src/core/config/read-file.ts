import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { TomlError, parse } from 'smol-toml';
import { isErrno, messageOf } from '../../utils/errors.ts';
import { ConfigError } from './config-error.ts';
import type { Table } from './tables.ts';

/** A configuration file, read and parsed but not yet validated. */
export interface ConfigFile {
  path: string;
  text: string;
  table: Table;
}

const MAX_BYTES = 1_048_576;
const MAX_NESTING = 16;

/** Reads one file. @returns undefined when it does not exist. @throws ConfigError when it cannot be read or is not TOML. */
export async function readConfigFile(path: string): Promise<ConfigFile | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw new ConfigError([`${path}: cannot be read: ${messageOf(error)}`], { cause: error });
  }
  return { path, ...parseConfig(path, bytes) };
}

/** Parses the bytes of a file; `path` is for messages. @throws ConfigError when they are not UTF-8 or not TOML. */
export function parseConfig(path: string, bytes: Uint8Array): { text: string; table: Table } {
  if (bytes.length > MAX_BYTES) throw new ConfigError([`${path}: is larger than 1 MiB; is it the right file?`]);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new ConfigError([`${path}: is not UTF-8 text; save it in that encoding`], { cause });
  }
  try {
    return { text, table: parse(text, { maxDepth: MAX_NESTING, unsafeKeyBehaviour: 'throw' }) };
  } catch (cause) {
    const place = cause instanceof TomlError ? `:${String(cause.line)}:${String(cause.column)}` : '';
    const words =
      messageOf(cause)
        .split('\n', 1)[0]
        ?.replace(/^Invalid TOML document: /, '')
        .slice(0, 300) ?? '';
    throw new ConfigError([`${path}${place}: is not valid TOML: ${words}`], { cause });
  }
}

/** Paths of the drop-in files in `directory`, in the order they apply; none when it does not exist. */
export async function listDropIns(directory: string): Promise<string[]> {
  try {
    const names = await readdir(directory);
    // Byte order, whatever the locale.
    return names
      .filter((name) => name.endsWith('.toml') && !name.startsWith('.'))
      .sort()
      .map((name) => join(directory, name));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw new ConfigError([`${directory}: cannot be read: ${messageOf(error)}`], { cause: error });
  }
}
