import { lstatSync, readdirSync, renameSync, rmdirSync, type Stats, unlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { isErrno } from '../../utils/errors.ts';

/** What a layer removes from the layers below; paths as in LayerFilter. */
export interface Removals {
  /** Files, and directories with all their content. */
  hidden: readonly string[];
  /** Directories of which all content of the layers below is removed; "": the root. */
  opaque: readonly string[];
}

const SLASH = Buffer.from('/');

/**
 * Merges an unpacked layer into the tree of the layers below, as overlayfs would show both: of two entries with one name the
 * layer's counts, and two directories become one with the layer's owner, mode and attributes. No link is followed. Directories
 * have other times afterwards, and the root its own attributes.
 * @param stage the unpacked layer, a directory in the root of `onto`, which is empty and removed afterwards.
 */
export function mergeLayer(stage: string, onto: string, { hidden, opaque }: Removals): void {
  const root = Buffer.from(onto);
  const upper = Buffer.from(stage);
  const own = Buffer.from(basename(stage));
  for (const path of hidden) {
    const slash = path.lastIndexOf('/');
    const directory = findDirectory(root, path.slice(0, Math.max(slash, 0)));
    if (directory !== undefined) remove(at(directory, Buffer.from(path.slice(slash + 1), 'latin1')));
  }
  for (const path of opaque) {
    const directory = findDirectory(root, path);
    if (directory === undefined) continue;
    for (const name of namesIn(directory)) if (path !== '' || !name.equals(own)) remove(at(directory, name));
  }
  for (const name of namesIn(upper)) {
    replace(at(upper, name), at(root, name));
    renameSync(at(upper, name), at(root, name));
  }
  rmdirSync(upper);
}

/** Leaves nothing at `lower`; what `upper` does not have of a directory goes there. */
function replace(upper: Buffer, lower: Buffer): void {
  const below = statOf(lower);
  if (below === undefined) return;
  if (!below.isDirectory() || !lstatSync(upper).isDirectory()) {
    remove(lower);
    return;
  }
  for (const name of namesIn(lower)) {
    const [over, under] = [at(upper, name), at(lower, name)];
    if (statOf(over) === undefined) renameSync(under, over);
    else replace(over, under);
  }
  rmdirSync(lower);
}

function remove(path: Buffer): void {
  const stat = statOf(path);
  // A layer may remove what is not there.
  if (stat === undefined) return;
  if (!stat.isDirectory()) {
    unlinkSync(path);
    return;
  }
  for (const name of namesIn(path)) remove(at(path, name));
  rmdirSync(path);
}

/** A directory below the root; undefined where there is none, or a link or file on the way. */
function findDirectory(root: Buffer, path: string): Buffer | undefined {
  let directory = root;
  for (const component of path === '' ? [] : path.split('/')) {
    directory = at(directory, Buffer.from(component, 'latin1'));
    if (statOf(directory)?.isDirectory() !== true) return undefined;
  }
  return directory;
}

function namesIn(directory: Buffer): Buffer[] {
  return readdirSync(directory, { encoding: 'buffer' });
}

function at(directory: Buffer, name: Buffer): Buffer {
  return Buffer.concat([directory, SLASH, name]);
}

function statOf(path: Buffer): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
