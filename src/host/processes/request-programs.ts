import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '../native/helper.ts';
import type { StepResult } from '../native/messages.ts';
import type { Step } from '../native/steps.ts';
import { isAlive, readProcess, sendSignal } from './process-table.ts';

const SIGKILL = 9;
const LOOK_MS = 20;
/** Milliseconds for a killed process to end. */
const KILLED_MS = 10_000;

/** A program that the helper has started. */
interface Started {
  pid: number;
  limitMs: number | undefined;
}

/**
 * Runs steps of which some are programs, as `NativeHelper.request` does; another helper runs them where none has begun. When the
 * helper dies later, it rejects when the started programs have ended, but detached ones, so that nothing comes of them after
 * the caller has cleaned up; at its time limit, or when `signal` fires, one is killed with its process group, as the helper
 * would. @throws as `NativeHelper.request`.
 */
export async function requestPrograms(steps: readonly Step[], signal?: AbortSignal): Promise<StepResult[]> {
  const programs: Started[] = [];
  const followed = steps.map((step): Step => {
    if (step.do !== 'spawn') return step;
    const started = (pid: number) => {
      if (step.detached !== true) programs.push({ pid, limitMs: step.limitMs });
    };
    return { ...step, started };
  });
  try {
    return await native.request(followed, { signal });
  } catch (error) {
    await Promise.all(programs.map((program) => endOf(program, signal)));
    throw error;
  }
}

/** Waits until a program without its helper has ended. */
async function endOf({ pid, limitMs = Infinity }: Started, signal: AbortSignal | undefined): Promise<void> {
  const program = readProcess(pid);
  const begin = performance.now();
  let killedAt = Infinity;
  while (program !== undefined && isAlive(program)) {
    const now = performance.now();
    if (killedAt === Infinity && (signal?.aborted === true || now - begin >= limitMs)) {
      sendSignal(-pid, SIGKILL);
      killedAt = now;
    }
    if (now - killedAt >= KILLED_MS) return;
    await sleep(LOOK_MS);
  }
}
