import type { ContainerRecord } from '../../model/container.ts';
import type { ContainerExit } from '../../model/container-runner.ts';

/** The exit code of a container whose exit code is unknown, as in containerd and CRI-O. */
const UNKNOWN_EXIT = 255;
/** The exit code of Docker and the kubelet for a failed start. */
const START_FAILED = 128;

/** The record of an exited container, from the runner's report. Reasons are those of the kubelet. */
export function exited(record: ContainerRecord, exit: ContainerExit): ContainerRecord {
  const reason = exit.oomKilled ? 'OOMKilled' : exit.exitCode === 0 ? 'Completed' : 'Error';
  const finishedAt = notBefore(record, exit.finishedAt);
  return { ...record, phase: 'exited', finishedAt, exitCode: exit.exitCode, reason, message: '' };
}

/** The record of a container whose exit nobody recorded: its monitor was killed, or the node rebooted. */
export function lost(record: ContainerRecord, now: bigint, message: string): ContainerRecord {
  const finishedAt = notBefore(record, now);
  return { ...record, phase: 'exited', finishedAt, exitCode: UNKNOWN_EXIT, reason: 'Unknown', message };
}

/** The record of a container whose command could not be started. */
export function startFailed(record: ContainerRecord, now: bigint, message: string): ContainerRecord {
  const finishedAt = notBefore(record, now);
  const startedAt = record.startedAt === 0n ? finishedAt : record.startedAt;
  return {
    ...record,
    phase: 'exited',
    startedAt,
    finishedAt,
    exitCode: START_FAILED,
    reason: 'StartError',
    message,
  };
}

/**
 * A time, or the latest of the record's times when that is later: the clock may have been set back while no server ran, and the
 * kernel's time of a file may be milliseconds behind the server's.
 */
export function notBefore({ createdAt, startedAt }: ContainerRecord, time: bigint): bigint {
  const latest = startedAt > createdAt ? startedAt : createdAt;
  return time > latest ? time : latest;
}
