import { setTimeout as sleep } from 'node:timers/promises';
import { listProcesses, sendSignal } from '../../../host/processes/process-table.ts';
import type { ProcessStat } from '../../../host/processes/process-table.ts';

const SIGKILL = 9;
const SIGSTOP = 19;

/**
 * Kills every process of a session and all their descendants, in any session. They are stopped first, so that none
 * forks between the scan and the kill. A process that left the session and lost its parent before is not found: it
 * cannot be distinguished from the container's own processes.
 */
export async function killSession(session: number): Promise<void> {
  const members = new Map<number, ProcessStat>();
  for (let grown = true; grown;) {
    const table = await listProcesses();
    const fresh = membersOf(session, members, table).filter(({ pid }) => !members.has(pid));
    for (const stat of fresh) {
      sendSignal(stat.pid, SIGSTOP);
      members.set(stat.pid, stat);
    }
    grown = fresh.length > 0;
  }
  for (const { pid } of members.values()) sendSignal(pid, SIGKILL);
  for (let waited = 0; waited < 2000; waited += 10) {
    const alive = new Map((await listProcesses()).map((stat) => [stat.pid, stat.startTime]));
    if (![...members.values()].some(({ pid, startTime }) => alive.get(pid) === startTime)) return;
    await sleep(10);
  }
}

/** The processes of `table` in the session, those in `known`, their descendants, and the sessions that these lead. */
export function membersOf(
  session: number,
  known: ReadonlyMap<number, { startTime: number }>,
  table: readonly ProcessStat[],
): ProcessStat[] {
  const found = new Map<number, ProcessStat>();
  for (let before = -1; before < found.size;) {
    before = found.size;
    for (const stat of table) {
      const isKnown = known.get(stat.pid)?.startTime === stat.startTime;
      const isRelated = found.has(stat.parent) || found.has(stat.session);
      if (stat.session === session || isKnown || isRelated) found.set(stat.pid, stat);
    }
  }
  return [...found.values()];
}
