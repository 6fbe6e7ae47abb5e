import { writeFile } from 'node:fs/promises';
import { isErrno } from '../core/model/errors.ts';

/** What kubelets and runtimes give the pause process of a pod. */
const HOLDER_SCORE = -998;

/**
 * Keeps the process that holds a pod's namespaces from being chosen when the pod is out of memory (oom_score_adj, proc(5)):
 * its end would be the pod's. Without CAP_SYS_RESOURCE it stays as it is.
 * @param pid undefined: there is no such process any more.
 */
export async function spareHolder(pid: number | undefined): Promise<void> {
  if (pid === undefined) return;
  try {
    await writeFile(`/proc/${String(pid)}/oom_score_adj`, String(HOLDER_SCORE), { flag: 'r+' });
  } catch (error) {
    if (!isErrno(error, 'EACCES', 'EPERM', 'ENOENT', 'ESRCH')) throw error;
  }
}
