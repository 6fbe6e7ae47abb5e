import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { CriError, StatusCode, unavailable } from '../../core/model/errors.ts';
import { messageOf } from '../../utils/errors.ts';
import { withStreams } from '../processes/with-streams.ts';
import { findNative } from './find.ts';
import { AnswerReader, MESSAGE_LIMIT, encodeCancel, encodeHold, encodeRelease, encodeRun } from './messages.ts';
import type { Answer, Started, StepResult } from './messages.ts';
import { openPipes } from './pipes.ts';
import type { OfferedPipes } from './pipes.ts';
import { encodeStep, isRepeatable, isReported } from './steps.ts';
import type { Step } from './steps.ts';

export interface RequestOptions {
  /** All steps in parallel; by default in order until one fails or a program exits with a code other than 0. */
  sideBySide?: boolean;
  /** Kills running steps; they end as `cancelled`, and the promise resolves when they have. */
  signal?: AbortSignal | undefined;
}

/** Runs steps. */
export interface Native {
  /**
   * Runs a batch of at most 256 steps; resolves with a result for each, also for failed ones.
   * @throws CriError UNAVAILABLE when there is no helper, or it died, or there are too many open files for a program's
   * pipes; RESOURCE_EXHAUSTED for more than 16 MiB of steps; the signal's reason when it fired before.
   */
  request(steps: readonly Step[], options?: RequestOptions): Promise<StepResult[]>;
}

/** A request that was sent and not answered. */
interface Pending {
  bytes: Buffer;
  /** When another helper may run it: in any case, or as long as none of its programs has been reported as started. */
  repeat: 'always' | 'unstarted' | 'never';
  /** Opens the program's pipes. */
  started: (step: number, pid: number, pipes: OfferedPipes) => void;
  /** Why it ends, whatever its steps result in. */
  refusal?: Error;
  resolve: (results: StepResult[]) => void;
  reject: (error: Error) => void;
}

/** A helper process, while it lives. */
interface Connection {
  child: ChildProcess;
  requests: Socket;
  /** By itself: a failed write ends a socket, and with it what it has received and nobody has read. */
  answers: Socket;
}

/**
 * The client of `lxcri-native serve`: starts the process with the first request, and another one when it dies. Running
 * requests are then repeated where that is safe, also those whose programs have not begun; the others fail with UNAVAILABLE, and
 * started programs continue. It keeps this process alive only while requests run.
 */
export class NativeHelper implements Native {
  readonly #program: string | undefined;
  readonly #pending = new Map<number, Pending>();
  #connection: Connection | undefined;
  #next = 1;
  #held: string | undefined;
  #instead: Native | undefined;

  /** `program`: of lxcri-native, by default the one that `findNative` finds. */
  constructor(program?: string) {
    this.#program = program;
  }

  /** Pid of the helper process while it lives. */
  get pid(): number | undefined {
    return this.#connection?.child.pid;
  }

  /** See {@link Native}. */
  async request(steps: readonly Step[], { sideBySide = false, signal }: RequestOptions = {}): Promise<StepResult[]> {
    if (this.#instead !== undefined) return this.#instead.request(steps, { sideBySide, signal });
    signal?.throwIfAborted();
    const id = this.#newId();
    const bytes = encodeRun(id, sideBySide, steps.map(encodeStep));
    if (bytes.length - 4 > MESSAGE_LIMIT) {
      throw new CriError(
        StatusCode.RESOURCE_EXHAUSTED,
        `request of ${bytes.length} bytes to the native helper too large`,
      );
    }
    const started: Pending['started'] = (index, pid, pipes) => {
      const step = steps[index];
      if (step?.do === 'spawn') step.started?.(pid, openPipes(step, pipes));
    };
    const cancel = () => {
      const pending = this.#pending.get(id);
      if (pending === undefined) return;
      pending.repeat = 'never';
      this.#connection?.requests.write(encodeCancel(id));
    };
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      return await this.#send(id, bytes, repeatOf(steps), started);
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }

  /**
   * From now on running commands whose descriptors request it (`hold`) have this FIFO open for reading, also after this
   * process has ended, and so has every other step, but those that only read. @throws Error when it cannot be opened.
   */
  async hold(path: string): Promise<void> {
    const id = this.#newId();
    const [result] = await this.#send(id, encodeHold(id, path), 'always', () => undefined);
    if (result?.status !== 'done') throw new Error(`cannot hold ${result?.problem ?? path}`);
    this.#held = path;
  }

  /** From now on `other` runs the requests. */
  delegate(other: Native): void {
    this.#instead = other;
  }

  /** Ends the helper process; running programs continue. A later request starts another one. */
  close(): void {
    this.#connection?.requests.destroy();
    this.#connection?.answers.destroy();
  }

  #newId(): number {
    const id = this.#next;
    this.#next = (this.#next % 0xffffffff) + 1;
    return id;
  }

  #send(id: number, bytes: Buffer, repeat: Pending['repeat'], started: Pending['started']): Promise<StepResult[]> {
    return new Promise((resolve, reject) => {
      const { requests } = this.#connect();
      this.#pending.set(id, { bytes, repeat, started, resolve, reject });
      this.#keepAlive();
      requests.write(bytes);
    });
  }

  #connect(): Connection {
    if (this.#connection !== undefined) return this.#connection;
    const child = start(this.#program ?? findNative());
    let problem = 'it ended';
    child.on('error', (error) => {
      problem = error.message;
      this.#lost(child, problem);
    });
    const [requests, answers] = child.stdio.slice(3) as [Socket, Socket]; // as `stdio` asks
    const reader = new AnswerReader();
    answers.on('data', (bytes: Buffer) => {
      try {
        for (const answer of reader.push(bytes)) this.#answered(answer);
      } catch (error) {
        problem = messageOf(error);
        answers.destroy();
      }
    });
    for (const socket of [requests, answers]) socket.on('error', (error) => (problem = error.message));
    answers.on('close', () => {
      requests.destroy();
      this.#lost(child, problem, answers.readableEnded);
    });
    this.#connection = { child, requests, answers };
    if (this.#held !== undefined) requests.write(encodeHold(0, this.#held));
    return this.#connection;
  }

  #answered(answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    if (pending === undefined) return;
    if (answer.kind === 'started') {
      this.#started(pending, answer);
      return;
    }
    this.#pending.delete(answer.id);
    this.#keepAlive();
    if (pending.refusal === undefined) pending.resolve(answer.results);
    else pending.reject(pending.refusal);
  }

  /** Synchronous: until it is notified, the helper keeps the program's pipes open under these numbers. */
  #started(pending: Pending, { id, step, pid, pipes }: Started): void {
    const { child, requests } = this.#connection ?? {};
    if (pending.repeat === 'unstarted') pending.repeat = 'never';
    try {
      pending.started(step, pid, { helper: child?.pid ?? 0, numbers: pipes });
    } catch (error) {
      pending.refusal = unavailable(`cannot use a program's pipes: ${messageOf(error)}`, error);
      requests?.write(encodeCancel(id));
    }
    if (pipes.size > 0) requests?.write(encodeRelease(id, step));
  }

  /** The process has exited, or sends invalid data. `isAllRead`: nothing that it has said is unknown. */
  #lost(child: ChildProcess, problem: string, isAllRead = false): void {
    if (this.#connection?.child !== child) return;
    this.#connection = undefined;
    child.unref();
    const lost = [...this.#pending];
    this.#pending.clear();
    for (const [id, { bytes, repeat, started, resolve, reject }] of lost) {
      const error = unavailable(`the native helper exited during a request: ${problem}; retry`);
      // Once: a request that kills one helper may kill the next.
      if (repeat === 'never' || (repeat === 'unstarted' && !isAllRead)) reject(error);
      else this.#send(id, bytes, 'never', started).then(resolve, reject);
    }
  }

  #keepAlive(): void {
    if (this.#connection === undefined) return;
    const { child, requests, answers } = this.#connection;
    for (const each of [child, requests, answers]) {
      if (this.#pending.size > 0) each.ref();
      else each.unref();
    }
  }
}

function repeatOf(steps: readonly Step[]): Pending['repeat'] {
  if (steps.every(isRepeatable)) return 'always';
  return steps.every((step) => isRepeatable(step) || isReported(step)) ? 'unstarted' : 'never';
}

function start(program: string): ChildProcess {
  try {
    const child = spawn(program, ['serve'], {
      cwd: '/',
      env: {},
      stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'pipe'],
      detached: true, // a terminal's Ctrl-C is for the server, which still has work for it
    });
    return withStreams(child);
  } catch (error) {
    throw unavailable(`cannot start the native helper: ${messageOf(error)}`, error);
  }
}

/** The one that this process uses. */
export const native = new NativeHelper();
