import { writeFile } from 'node:fs/promises';
import { isErrno } from '../../utils/errors.ts';

/** The score that the kernel never kills; it may kill -998, as the kubelet sets, as a last resort. */
const NEVER = -1000;

/**
 * Protects the processes that a pod needs from the OOM killer (oom_score_adj, proc(5)): the pause process and the monitors.
 * Without CAP_SYS_RESOURCE their score is unchanged; exited processes are skipped.
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
