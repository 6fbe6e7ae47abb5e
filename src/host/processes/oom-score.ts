import { writeFile } from 'node:fs/promises';
import { isErrno } from '../../utils/errors.ts';

/** The one that the kernel never chooses: with -998, as a kubelet asks for, it does so when nothing else is left. */
const NEVER = -1000;

/**
 * Keeps processes that a pod cannot do without from being chosen when the pod is out of memory (oom_score_adj, proc(5)): the
 * one that holds its namespaces and their monitors. Without CAP_SYS_RESOURCE they stay as they are; those that have ended
 * are passed over.
 */
export async function spareFromOomKiller(pids: readonly number[]): Promise<void> {
  for (const pid of pids) {
    try {
      await writeFile(`/proc/${String(pid)}/oom_score_adj`, String(NEVER), { flag: 'r+' });
    } catch (error) {
      if (!isErrno(error, 'EACCES', 'EPERM', 'ENOENT', 'ESRCH')) throw error;
    }
  }
}
