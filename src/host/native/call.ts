import { native } from './helper.ts';
import type { StepResult } from './messages.ts';
import type { Step } from './steps.ts';

/** A step that failed. `code` is the system's, such as `ENOENT`; undefined when it was killed or gave no reason. */
export class StepError extends Error {
  readonly code: string | undefined;
  readonly status: StepResult['status'];

  constructor(message: string, { status, code }: Pick<StepResult, 'status' | 'code'>) {
    super(message);
    this.name = 'StepError';
    this.status = status;
    this.code = code;
  }
}

/**
 * Runs steps without programs, in order; returns their results. When `signal` fires, running ones are killed.
 * @throws StepError of the first that failed; the signal's reason; as `NativeHelper.request`.
 */
export async function call(steps: readonly Step[], signal?: AbortSignal): Promise<StepResult[]> {
  const results = await native.request(steps, { signal });
  results.forEach((result, index) => {
    const step = steps[index];
    if (step !== undefined) throwIfFailed(step, result, signal);
  });
  return results;
}

/** @throws as {@link call} for one step's result. */
export function throwIfFailed(step: Step, result: StepResult, signal?: AbortSignal): void {
  if (result.status === 'done') return;
  if (result.status === 'cancelled') signal?.throwIfAborted();
  if (result.status === 'timeout') {
    throw new StepError(`${nameOf(step)} timed out after ${String(step.limitMs)} ms`, result);
  }
  throw new StepError(result.problem || `${nameOf(step)}: ${result.status}`, result);
}

function nameOf(step: Step): string {
  const object = 'path' in step ? step.path : 'target' in step ? step.target : undefined;
  return object === undefined ? step.do : `${step.do} ${object}`;
}
