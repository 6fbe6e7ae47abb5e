import { messageOf } from '../http/api-error.ts';

/** One task, running or ended. */
export interface Task {
  readonly upid: string;
  readonly node: string;
  readonly pid: number;
  readonly pstart: number;
  /** Seconds since the epoch. */
  readonly starttime: number;
  readonly type: string;
  readonly id: string;
  /** The user, with `!token` where a token started it. */
  readonly user: string;
  readonly log: string[];
  endtime?: number;
  /** `OK`, `WARNINGS: n` or the error; undefined while it runs. */
  exit?: string;
}

/** What the work of a task gets. */
export interface Worker {
  readonly upid: string;
  readonly log: (line: string) => void;
  /** A line that turns the end of the task into `WARNINGS`. */
  readonly warn: (line: string) => void;
  /** Aborts when the task is stopped. */
  readonly signal: AbortSignal;
}

/** Thrown by the work of a task that `signal` ended; its text is the last line of the log. */
export class Interrupted extends Error {}

const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');

/** The fields that a UPID holds; undefined for what is none. */
export function parseUpid(
  upid: string,
): Pick<Task, 'node' | 'pid' | 'pstart' | 'starttime' | 'type' | 'id' | 'user'> | undefined {
  const fields =
    /^UPID:([a-zA-Z0-9-]+):([0-9A-F]{8}):([0-9A-F]{8,9}):([0-9A-F]{8}):([^:\s]+):([^:\s]*):([^:\s]+):$/.exec(upid);
  if (fields === null) return undefined;
  const [, node = '', pid = '', pstart = '', starttime = '', type = '', id = '', user = ''] = fields;
  return {
    node,
    pid: parseInt(pid, 16),
    pstart: parseInt(pstart, 16),
    starttime: parseInt(starttime, 16),
    type,
    id,
    user,
  };
}

/** The tasks of all nodes. */
export class Tasks {
  readonly #tasks = new Map<string, Task>();
  readonly #running = new Map<string, { readonly abort: AbortController; readonly ended: Promise<void> }>();
  #pid = 1000;
  readonly #booted = Date.now();

  /** Every task, the newest first. */
  all(): Task[] {
    return [...this.#tasks.values()].reverse();
  }

  get(upid: string): Task | undefined {
    return this.#tasks.get(upid);
  }

  /** Adds a task that ended earlier, as a node's archive has it. */
  seed(upid: string, exit: string, log: readonly string[]): void {
    const fields = parseUpid(upid);
    if (fields === undefined) throw new Error(`not a UPID: ${upid}`);
    this.#tasks.set(upid, { upid, ...fields, endtime: fields.starttime + 1, exit, log: [...log] });
  }

  /** Starts `work` as a task and returns its UPID; the work begins after this returned. */
  start(node: string, type: string, id: string, user: string, work: (worker: Worker) => Promise<void>): string {
    this.#pid += 1;
    const pid = this.#pid;
    const starttime = Math.floor(Date.now() / 1000);
    const pstart = 100_000 + Math.floor((Date.now() - this.#booted) / 10);
    const upid = `UPID:${node}:${hex(pid)}:${hex(pstart)}:${hex(starttime)}:${type}:${id}:${user}:`;
    const task: Task = { upid, node, pid, pstart, starttime, type, id, user, log: [] };
    this.#tasks.set(upid, task);
    const abort = new AbortController();
    const ended = this.#run(task, work, abort.signal);
    this.#running.set(upid, { abort, ended });
    return upid;
  }

  /** Resolves when the task has ended; at once when it has, or is unknown. */
  ended(upid: string): Promise<void> {
    return this.#running.get(upid)?.ended ?? Promise.resolve();
  }

  /** Interrupts the task; what its work does about it decides when it ends. */
  async stop(upid: string): Promise<void> {
    const running = this.#running.get(upid);
    running?.abort.abort();
    await running?.ended;
  }

  /** Interrupts every task and waits for their ends. */
  async stopAll(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((upid) => this.stop(upid)));
  }

  async #run(task: Task, work: (worker: Worker) => Promise<void>, signal: AbortSignal): Promise<void> {
    let warnings = 0;
    const log = (line: string): void => void task.log.push(line);
    const warn = (line: string): void => {
      warnings += 1;
      log(`WARN: ${line}`);
    };
    await new Promise(setImmediate);
    try {
      await work({ upid: task.upid, log, warn, signal });
      if (warnings > 0) log(`TASK WARNINGS: ${warnings}`);
      else log('TASK OK');
      task.exit = warnings > 0 ? `WARNINGS: ${warnings}` : 'OK';
    } catch (error) {
      // A killed worker writes no last line of its own.
      const interrupted = error instanceof Interrupted;
      log(interrupted ? error.message : `TASK ERROR: ${messageOf(error)}`);
      task.exit = interrupted ? 'unexpected status' : messageOf(error).split('\n')[0]!;
    }
    task.endtime = Math.floor(Date.now() / 1000);
    this.#running.delete(task.upid);
  }
}
