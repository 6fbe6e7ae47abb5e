import { statfs } from 'node:fs/promises';

/** What is in a mounted filesystem, what it has of its image among it. */
export interface Content {
  /** Files, directories and the like. */
  objects: bigint;
  /** Bytes on disk. */
  bytes: bigint;
}

/** Asks a mounted filesystem (statfs(2)). */
export async function contentOf(mountPoint: string): Promise<Content> {
  const { files, ffree, blocks, bfree, bsize } = await statfs(mountPoint, { bigint: true });
  return { objects: files - ffree, bytes: (blocks - bfree) * bsize };
}
