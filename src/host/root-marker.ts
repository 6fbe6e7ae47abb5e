import { readFile, realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import * as z from 'zod';
import { failedPrecondition } from '../core/model/errors.ts';
import { RECORD_FORMAT, ROOT } from '../core/state-layout.ts';
import { writeFileAtomic } from '../utils/fs/atomic.ts';
import { namesIn } from '../utils/fs/names.ts';

const marker = z.object({ format: z.int().positive() });

/** Files that an empty directory may have: those of a new filesystem, and the lock of an interrupted start. */
const NEGLIGIBLE: readonly string[] = ['lost+found', ROOT.lock];

/** Files that versions before the marker kept in the directories of records, and nothing beside them. */
const OLDER_RECORD = /^(sha256-)?[0-9a-f]{64}\.json(\.corrupt|\.tmp-.*)?$/;

/** `empty`: missing or empty. `older`: of a version before the marker. */
export type RootKind = 'empty' | 'ours' | 'older';

/**
 * Checks whether a directory is, or can become, the root of this server: it contains the marker file, or nothing, or it
 * is the root of a version before the marker. That is one with `sandboxes`, `containers`, `images` and
 * `overlay/layers`, the first three of which contain only record files (`<id>.json`).
 * @throws CriError FAILED_PRECONDITION for any other, for `/`, for paths below /proc, /sys or /dev, and for the root of
 * a later version.
 */
export async function checkRoot(root: string): Promise<RootKind> {
  const path = await realpath(root).catch(() => resolve(root));
  if (path === '/' || /^\/(proc|sys|dev)(\/|$)/.test(path)) {
    throw failedPrecondition(`root: ${path} is not allowed as the root directory; set a directory for the server only`);
  }
  const names = (await namesIn(path)).sort();
  if (names.includes(ROOT.marker)) {
    await checkMarker(join(path, ROOT.marker));
    return 'ours';
  }
  const foreign = names.filter((name) => !NEGLIGIBLE.includes(name));
  if (foreign.length === 0) return 'empty';
  if (await isOlder(path)) return 'older';
  throw failedPrecondition(
    `root: ${path} is not empty and does not belong to this server: it has ${foreign.slice(0, 3).join(', ')} but no ` +
      `${ROOT.marker}; set an empty directory`,
  );
}

/** Marks a directory that {@link checkRoot} has accepted; the caller has its lock. */
export async function markRoot(root: string): Promise<void> {
  if ((await checkRoot(root)) === 'ours') return;
  await writeFileAtomic(join(root, ROOT.marker), `${JSON.stringify({ format: RECORD_FORMAT })}\n`);
}

async function checkMarker(path: string): Promise<void> {
  let format: number;
  try {
    ({ format } = marker.parse(JSON.parse(await readFile(path, 'utf8'))));
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? ` (${cause.message})` : '';
    throw failedPrecondition(
      `root: ${path} cannot be read${reason}; it must contain {"format":${String(RECORD_FORMAT)}}`,
      cause,
    );
  }
  if (format <= RECORD_FORMAT) return;
  throw failedPrecondition(
    `root: ${path} has format ${String(format)} of a later version; this version supports up to ${String(RECORD_FORMAT)}; ` +
      'install the later version',
  );
}

async function isOlder(root: string): Promise<boolean> {
  const names = (await namesIn(root)).sort();
  const kinds: string[] = [ROOT.sandboxes, ROOT.containers, ROOT.images];
  if (![...kinds, ROOT.overlay].every((name) => names.includes(name))) return false;
  for (const kind of kinds) {
    if (!(await namesIn(join(root, kind))).every((name) => OLDER_RECORD.test(name))) return false;
  }
  return (await namesIn(join(root, ROOT.overlay))).includes('layers');
}
