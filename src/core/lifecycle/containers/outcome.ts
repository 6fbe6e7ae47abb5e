import type { ContainerRecord } from '../../model/container.ts';
import type { ContainerExit } from '../../model/container-runner.ts';

/** The exit code of a container whose true one nobody knows, as containerd and CRI-O report it. */
const UNKNOWN_EXIT = 255;
/** Docker's and the kubelet's code for "could not be started". */
const START_FAILED = 128;

/** The record of a container that ended as the runner saw it. Reasons are those the kubelet and its users know. */
export function exited(record: ContainerRecord, exit: ContainerExit): ContainerRecord {
  const reason = exit.oomKilled ? 'OOMKilled' : exit.exitCode === 0 ? 'Completed' : 'Error';
  // The kernel's time of a file may be milliseconds behind the clock that told the start.
  const finishedAt = exit.finishedAt > record.startedAt ? exit.finishedAt : record.startedAt;
  return { ...record, phase: 'exited', finishedAt, exitCode: exit.exitCode, reason, message: '' };
}

/** The record of a container whose end nobody saw: its monitor was killed, or the node restarted. */
export function lost(record: ContainerRecord, now: bigint, message: string): ContainerRecord {
  return { ...record, phase: 'exited', finishedAt: now, exitCode: UNKNOWN_EXIT, reason: 'Unknown', message };
}

/** The record of a container whose command could not be started. */
export function startFailed(record: ContainerRecord, now: bigint, message: string): ContainerRecord {
  const startedAt = record.startedAt === 0n ? now : record.startedAt;
  return {
    ...record,
    phase: 'exited',
    startedAt,
    finishedAt: now,
    exitCode: START_FAILED,
    reason: 'StartError',
    message,
  };
}
