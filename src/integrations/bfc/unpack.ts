import { lstatSync, renameSync } from 'node:fs';
import { type FileHandle, mkdir, rm, rmdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno, messageOf } from '../../utils/errors.ts';
import type { BfcEntry } from './format/container-index.ts';
import { isSmall } from './content/entry-content.ts';
import { BfcError } from './errors.ts';
import { unfinishedName } from './files/new-file.ts';
import { parentsOf } from './format/path-rules.ts';
import type { BfcReader } from './reader.ts';
import { TargetError, TargetTree } from './files/target-tree.ts';
import type { Progress, WorkOptions } from './verify.ts';

/** What is kept of an entry's mode: nobody makes set-user-ID programs by unpacking a file. */
const MODE_BITS = 0o777;
/** Of directories without entries. */
const IMPLICIT_MODE = 0o755;

export interface UnpackOptions extends WorkOptions {
  /** Entries, as the index has them; all unless given. */
  entries?: readonly BfcEntry[] | undefined;
}

interface Work extends WorkOptions {
  reader: BfcReader;
  /** In the order of their objects. */
  entries: readonly BfcEntry[];
  target: string;
  done: Progress;
}

/**
 * Unpacks entries into a directory, which is created in its parent directory when it is missing, and which must not have anything that they bring. They are
 * unpacked into a directory in it with a name that ends in `.partial`, and moved when every byte has been checked: a failure leaves
 * nothing. Owner is this process's user; of modes the permission bits are kept, and times.
 * @throws BfcError for the first bad entry, `exists` for what is there, `space` when the filesystem has too little room, `key` before
 *   anything is written; the signal's reason; errors of the system.
 */
export async function unpackBfc(reader: BfcReader, target: string, options: UnpackOptions = {}): Promise<Progress> {
  const { entries, ...rest } = options;
  const ordered = entries ? entries.toSorted((a, b) => a.offset - b.offset) : [...reader.index.byOffset()];
  const work: Work = { ...rest, reader, entries: ordered, target, done: { entries: 0, bytes: 0 } };
  await reader.checkKey();
  const isNew = await makeDirectory(target);
  try {
    await checkSpace(work);
    await unpackStaged(work);
    return work.done;
  } catch (error) {
    // What others have put there in the meantime stays.
    if (isNew) await rmdir(target).catch(() => undefined);
    throw error;
  }
}

/** Whether it was missing. */
async function makeDirectory(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  }
}

async function unpackStaged(work: Work): Promise<void> {
  const tops = new Set<string>();
  for (const { path } of work.entries) tops.add(path.split('/', 1)[0] ?? '');
  for (const top of tops) refuseExisting(work, top);
  const stage = join(work.target, unfinishedName());
  await mkdir(stage, { mode: 0o700 });
  const moved: string[] = [];
  try {
    const directories = await fill(work, stage);
    for (const top of tops) {
      refuseExisting(work, top);
      renameSync(within(stage, top), within(work.target, top));
      moved.push(top);
    }
    // At the end, as nothing can be put into a directory that is read-only, and its time changes with what is.
    setAttributes(work.target, directories);
  } catch (error) {
    for (const top of moved) await rm(within(work.target, top), { recursive: true, force: true });
    throw error;
  } finally {
    await rm(stage, { recursive: true, force: true });
  }
}

/** Creates everything but the attributes of directories, which it returns by path; undefined for those without entries. */
async function fill(work: Work, stage: string): Promise<Map<string, BfcEntry | undefined>> {
  const directories = new Map<string, BfcEntry | undefined>();
  const tree = new TargetTree(stage);
  // Of the entry before.
  let place: string | undefined;
  try {
    for (const entry of work.entries) {
      work.signal?.throwIfAborted();
      const parent = entry.path.slice(0, Math.max(0, entry.path.lastIndexOf('/')));
      if (parent !== place) {
        for (const path of parentsOf(entry.path)) if (!directories.has(path)) directories.set(path, undefined);
        place = parent;
      }
      if (entry.type === 'directory') directories.set(entry.path, entry);
      try {
        const creating = create(work, tree, entry);
        if (creating) await creating;
      } catch (error) {
        throw withEntry(work, entry, error);
      }
      work.done.entries++;
      work.progress?.(work.done);
    }
  } finally {
    tree.close();
  }
  return directories;
}

function withEntry({ reader }: Work, { path }: BfcEntry, error: unknown): unknown {
  // The index has no path twice.
  const what = isErrno(error, 'EEXIST') ? 'is there as a directory, too' : messageOf(error);
  if (!(error instanceof TargetError) && !isErrno(error, 'EEXIST')) return error;
  return new BfcError('name', { file: reader.name, entry: path }, what, { cause: error });
}

/** At once unless it waits for something. */
function create(work: Work, tree: TargetTree, entry: BfcEntry): void | Promise<void> {
  if (entry.type === 'directory') return createDirectory(work, tree, entry);
  if (!isSmall(entry)) return createLong(work, tree, entry);
  const found = work.reader.readSmall(entry);
  if (!(found instanceof Promise)) return createSmall(work, tree, entry, found);
  return found.then((bytes) => {
    createSmall(work, tree, entry, bytes);
  });
}

async function createDirectory({ reader }: Work, tree: TargetTree, entry: BfcEntry): Promise<void> {
  await reader.check(entry);
  tree.directory(entry.path);
}

function createSmall(work: Work, tree: TargetTree, entry: BfcEntry, bytes: Buffer): void {
  const seconds = secondsOf(entry);
  if (entry.type === 'symlink') tree.symlink(entry.path, bytes, seconds);
  else {
    tree.smallFile(entry.path, bytes, { mode: entry.mode & MODE_BITS, seconds });
    count(work, bytes);
  }
}

async function createLong(work: Work, tree: TargetTree, entry: BfcEntry): Promise<void> {
  const { reader, signal } = work;
  const file = await tree.file(entry.path);
  try {
    for await (const chunk of reader.readStaged(entry, { signal, recycles: true })) {
      await writeWhole(file, chunk);
      count(work, chunk);
    }
    await file.chmod(entry.mode & MODE_BITS);
    await file.utimes(secondsOf(entry), secondsOf(entry));
  } finally {
    await file.close();
  }
}

function count({ done, progress }: Work, { length }: Buffer): void {
  done.bytes += length;
  progress?.(done);
}

function setAttributes(target: string, directories: Map<string, BfcEntry | undefined>): void {
  const tree = new TargetTree(target);
  try {
    // Those below before those above.
    for (const path of [...directories.keys()].sort().reverse()) {
      const entry = directories.get(path);
      tree.setAttributes(path, entry ? entry.mode & MODE_BITS : IMPLICIT_MODE, entry && secondsOf(entry));
    }
  } finally {
    tree.close();
  }
}

async function writeWhole(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await file.write(bytes, at)).bytesWritten;
}

function refuseExisting({ reader, target }: Work, top: string): void {
  if (lstatSync(within(target, top), { throwIfNoEntry: false }) === undefined) return;
  throw new BfcError('exists', { file: reader.name, entry: top }, `already exists in ${target}; unpack elsewhere`);
}

/** @throws BfcError when the contents are larger than the free space. */
async function checkSpace({ reader, entries, target }: Work): Promise<void> {
  const { bavail, bsize } = await statfs(target);
  let needed = 0;
  for (const { type, size } of entries) if (type === 'file') needed += size;
  if (needed <= bavail * bsize) return;
  const what = `its contents need ${needed} bytes, and ${target} has ${bavail * bsize} bytes free`;
  throw new BfcError('space', { file: reader.name }, what);
}

/** A name of bytes in a directory. */
function within(directory: string, name: string): Buffer {
  return Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(name, 'latin1')]);
}

/** Before 1970 as text: Node.js takes the present instead of a negative number. */
function secondsOf({ mtime }: BfcEntry): number | string {
  const seconds = Number(mtime) / 1e9;
  return seconds < 0 ? String(seconds) : seconds;
}
