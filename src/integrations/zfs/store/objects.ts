import { statfs } from 'node:fs/promises';

/** Objects of a mounted dataset (statfs(2)), those of its image among them. */
export async function objectsOf(mountPoint: string): Promise<bigint> {
  const { files, ffree } = await statfs(mountPoint, { bigint: true });
  return files - ffree;
}
