import { performance } from 'node:perf_hooks';
import type { CallOptions } from '../call.ts';
import { refineMessage } from '../errors/from-answer.ts';
import { AmbiguousOutcomeError, isKind, ProxmoxError } from '../errors/proxmox-error.ts';
import type { Observer } from '../observe.ts';
import type { Tasks, TaskStatus } from './tasks.ts';
import type { Upid } from './upid.ts';
import { pause } from '../pause.ts';

const FIRST_MS = 100;
const LONGEST_MS = 2_000;
const GROWTH = 1.6;
/** A node that restarts its services, or loses its quorum for a moment, is asked again for so long. */
const PATIENCE_MS = 120_000;
const LOG_LINES = 10;

export interface FollowOptions extends CallOptions {
  /** Ends the task when the signal ends the wait; otherwise it goes on. */
  stopOnAbort?: boolean | undefined;
  /** Milliseconds that the task takes at least: it is not looked at before. */
  leastMs?: number | undefined;
  /** Milliseconds before the second look, and at most between two. */
  firstMs?: number | undefined;
  longestMs?: number | undefined;
  /** Milliseconds for which failing looks are borne. */
  patienceMs?: number | undefined;
}

/** A task that has succeeded. */
export interface TaskResult {
  upid: Upid;
  /** How many warnings are in its log. */
  warnings: number;
}

/** A task has ended without success; it may have done a part. The message holds the last lines of its log. */
export class TaskFailedError extends ProxmoxError {
  readonly upid: Upid;
  readonly exitStatus: string;
  readonly log: readonly string[];

  constructor(upid: Upid, exitStatus: string, log: readonly string[]) {
    const shown = log.length > 0 ? `; the last lines of its log: ${log.join(' | ')}` : '';
    super(`failed: ${exitStatus}${shown}`, { ...detailsOf(upid), ...refineMessage(exitStatus) });
    this.name = 'TaskFailedError';
    this.upid = upid;
    this.exitStatus = exitStatus;
    this.log = log;
  }
}

/** See {@link Tasks.follow}. */
export async function follow(
  tasks: Pick<Tasks, 'status' | 'lastLines' | 'stop'>,
  observer: Observer,
  upid: Upid,
  options: FollowOptions,
): Promise<TaskResult> {
  const begun = performance.now();
  const ended = (outcome: Parameters<NonNullable<Observer['task']>>[0]['outcome']) =>
    observer.task?.({ type: upid.type, outcome, seconds: (performance.now() - begun) / 1000 });
  try {
    const exitStatus = await exitOf(tasks, upid, options);
    const warnings = exitStatus === 'OK' ? 0 : Number(/^WARNINGS: (\d+)$/.exec(exitStatus)?.[1] ?? NaN);
    if (Number.isNaN(warnings)) {
      // The log is an addition: what is known already is not lost for it.
      const log = await tasks.lastLines(upid, LOG_LINES, options).catch(() => []);
      throw new TaskFailedError(upid, exitStatus, log);
    }
    ended(warnings > 0 ? 'warnings' : 'ok');
    return { upid, warnings };
  } catch (error) {
    const { signal } = options;
    const isAborted = signal?.aborted === true && !(error instanceof TaskFailedError);
    ended(isAborted ? 'aborted' : error instanceof ProxmoxError ? error.kind : 'failed');
    if (!isAborted) throw error;
    if (options.stopOnAbort) await tasks.stop(upid, { ...options, signal: undefined }).catch(() => undefined);
    throw signal.reason;
  }
}

/** The exit status of a task once it has ended. */
async function exitOf(tasks: Pick<Tasks, 'status'>, upid: Upid, options: FollowOptions): Promise<string> {
  const { signal, leastMs = 0, firstMs = FIRST_MS, longestMs = LONGEST_MS, patienceMs = PATIENCE_MS } = options;
  if (leastMs > 0) await pause(leastMs, signal);
  let heard = performance.now();
  for (let wait = firstMs; ; wait = Math.min(wait * GROWTH, longestMs)) {
    let status: TaskStatus | undefined;
    try {
      status = await tasks.status(upid, options);
      heard = performance.now();
    } catch (error) {
      signal?.throwIfAborted();
      if (isKind(error, 'notFound')) throw lost(upid, 'the node knows no such task any more', 'notFound');
      if (!(error instanceof ProxmoxError)) throw error;
      // The task goes on whatever hinders the look, so that no error of it may say that nothing was changed.
      const mayPass = isKind(error, 'unreachable', 'timeout', 'noQuorum', 'lockTimeout', 'failed');
      if (!mayPass || performance.now() - heard > patienceMs) throw lost(upid, error.message, error.kind);
    }
    if (status?.status === 'stopped') return status.exitstatus ?? 'unexpected status';
    await pause(wait, signal);
  }
}

function lost(upid: Upid, message: string, kind: ProxmoxError['kind']): AmbiguousOutcomeError {
  return new AmbiguousOutcomeError(message, { ...detailsOf(upid), kind }, [
    `/nodes/${upid.node}/tasks/${upid.text}/status`,
  ]);
}

function detailsOf({ node, type, id, text }: Upid) {
  const subject = `task ${type}${id && ` of ${id}`} on ${node}`;
  return {
    call: { method: 'GET', template: '/nodes/{node}/tasks/{upid}/status', at: { node, upid: text } },
    subject,
  } as const;
}
