import type { ContainerRecord } from '../../model/container.ts';
import type { ContainerExit } from '../../model/container-runner.ts';

/** The exit code of a container whose exit code is unknown, as in containerd and CRI-O. */
const UNKNOWN_EXIT = 255;
/** The exit code of Docker and the kubelet for a failed start. */
const START_FAILED = 128;

/** The record of an exited container, from the runner's report. Reasons are those of the kubelet. */
export function exited(record: ContainerRecord, exit: ContainerExit): ContainerRecord {
  const reason = exit.oomKilled ? 'OOMKilled' : exit.exitCode === 0 ? 'Completed' : 'Error';
  // The kernel's time of a file may be milliseconds behind the clock that recorded the start.
  const finishedAt = exit.finishedAt > record.startedAt ? exit.finishedAt : record.startedAt;
  return { ...record, phase: 'exited', finishedAt, exitCode: exit.exitCode, reason, message: '' };
}

/** The record of a container whose exit nobody recorded: its monitor was killed, or the node rebooted. */
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
