import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from '../../core/state-layout.ts';
import { isErrno } from '../../utils/errors.ts';

/** The number of records in a root directory. */
export async function countRecords(root: string): Promise<{ pods: number; containers: number; images: number }> {
  const count = async (name: string) => {
    try {
      return (await readdir(join(root, name))).filter((file) => file.endsWith('.json')).length;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return 0;
      throw error;
    }
  };
  return {
    pods: await count(ROOT.sandboxes),
    containers: await count(ROOT.containers),
    images: await count(ROOT.images),
  };
}
