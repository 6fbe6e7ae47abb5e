import * as z from 'zod';
import type { Api, Data } from '../api.ts';
import type { Call, CallOptions } from '../call.ts';
import { ignored, listOf, number, optional, text } from '../lenient.ts';
import { follow, type FollowOptions, type TaskResult } from './follow.ts';
import { parseUpid, type Upid } from './upid.ts';

const TASK = z.object({
  upid: text,
  node: text,
  type: text,
  id: optional(text),
  user: text,
  starttime: number,
  endtime: optional(number),
  /** OK, WARNINGS: n, an error's text; RUNNING or absent while it runs. */
  status: optional(text),
});
/** An entry of a list of tasks. Times are seconds since 1970 of the node's clock. */
export type Task = z.infer<typeof TASK>;

const STATUS = z.object({
  status: z.enum(['running', 'stopped']),
  /** OK, WARNINGS: n, or an error's text, once it has stopped. */
  exitstatus: optional(text),
  type: optional(text),
  id: optional(text),
  user: optional(text),
});
/** How a task stands. */
export type TaskStatus = z.infer<typeof STATUS>;

const LINE = z.object({ n: number, t: optional(text) });

/** Which tasks of a node to list. */
export interface TaskFilter {
  source?: 'archive' | 'active' | 'all';
  typefilter?: string;
  vmid?: number;
  userfilter?: string;
  /** Seconds since 1970. */
  since?: number;
  start?: number;
  limit?: number;
}

/** Tasks: what the server does after it has answered. */
export class Tasks {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /** Tasks of a node, the newest first: the caller's own, or all with Sys.Audit. @throws as Api.call. */
  list(node: string, filter: TaskFilter = {}, options?: CallOptions): Promise<Data<Task[]>> {
    const call: Call = { method: 'GET', template: '/nodes/{node}/tasks', at: { node }, params: { ...filter } };
    return this.#api.list(call, listOf(TASK), options);
  }

  /** @throws ProxmoxError notFound for an unknown task, or as Api.call. */
  async status(upid: Upid, options?: CallOptions): Promise<TaskStatus> {
    const status = await this.#api.call(callFor('GET', upid, '/status'), STATUS, options);
    const { exitstatus } = status;
    return exitstatus === undefined ? status : { ...status, exitstatus: this.#api.clean(exitstatus) };
  }

  /** The last `count` lines of a task's log, without the line that repeats its result. @throws as Api.call. */
  async lastLines(upid: Upid, count: number, options?: CallOptions): Promise<string[]> {
    const read = (start: number, limit: number) =>
      this.#api.list({ ...callFor('GET', upid, '/log'), params: { start, limit } }, listOf(LINE), options);
    const { data, total = data.length } = await read(0, count + 1);
    const lines = total <= data.length ? data : (await read(total - count - 1, count + 1)).data;
    return lines
      .map(({ t = '' }) => this.#api.clean(t).trim())
      .filter((line) => line !== '' && line !== 'no content' && !/^TASK (OK|ERROR|WARNINGS)/.test(line))
      .slice(-count);
  }

  /** Ends a task: TERM, and KILL after 5 s. Succeeds for one that has ended. @throws as Api.call. */
  stop(upid: Upid, options?: CallOptions): Promise<void> {
    return this.#api.call(callFor('DELETE', upid, ''), ignored, options);
  }

  /**
   * Waits for the end of a task.
   * @throws TaskFailedError with the last lines of its log; AmbiguousOutcomeError when the node cannot be asked any more;
   *   the signal's reason, and then the task goes on unless `stopOnAbort` is set.
   */
  follow(upid: Upid | string, options: FollowOptions = {}): Promise<TaskResult> {
    return follow(this, this.#api.observer, typeof upid === 'string' ? parseUpid(upid) : upid, options);
  }
}

/** The call for a task, which its node answers. */
function callFor(method: 'GET' | 'DELETE', { node, text: upid }: Upid, rest: string): Call {
  return { method, template: `/nodes/{node}/tasks/{upid}${rest}`, at: { node, upid } };
}
