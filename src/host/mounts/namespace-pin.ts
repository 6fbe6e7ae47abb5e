import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { isErrno } from '../../utils/errors.ts';
import { call } from '../native/call.ts';

/** `f_type` of nsfs, the filesystem of namespace files (linux/magic.h). */
const nsfsMagic = 0x6e736673;

/** MS_BIND of mount(2). */
const BIND = 0x1000;

/**
 * Keeps a namespace alive, whichever process ends, by a bind mount on the new file `file`. {@link unpin} rolls it back.
 */
export async function pin(namespace: string, file: string): Promise<void> {
  writeFileSync(file, '', { mode: 0o400 });
  await call([{ do: 'mount', source: namespace, target: file, flags: BIND, limitMs: 30_000 }]);
}

/** Whether a namespace is pinned on `file`. */
export function isPin(file: string): boolean {
  try {
    return statfsSync(file).type === nsfsMagic;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

/** Unpins a namespace and removes the file. No error when there is none. */
export async function unpin(file: string): Promise<void> {
  if (isPin(file)) await call([{ do: 'unmount', target: file, all: true, limitMs: 30_000 }]);
  rmSync(file, { force: true });
}
