import { setTimeout as sleep } from 'node:timers/promises';
import { programEnv } from '../../host/processes/programs.ts';
import { CommandError, run, type RunResult } from '../../host/processes/run.ts';
import { settlesSoonAfter } from '../../utils/async/abortable.ts';
import { Slots } from '../../utils/async/slots.ts';
import { errorFrom, errorOfSuccess, zfsError } from './errors/from-outcome.ts';
import { isKind } from './errors/zfs-error.ts';
import { poolOf } from './names.ts';

/** What a caller may ask of any call. */
export interface CallOptions {
  /** Kills the program. What it had asked of the kernel may be done nevertheless. */
  signal?: AbortSignal | undefined;
  /** Milliseconds for the call, waiting for its turn and repeating it included. */
  timeoutMs?: number | undefined;
  /** How often it is repeated while the dataset is busy: 6 by default, within 3 seconds. */
  repeats?: number | undefined;
}

/** One run of a program. */
export interface Command {
  program: 'zfs' | 'zpool';
  /** The subcommand and its arguments, all of them checked. */
  args: readonly string[];
  /** The dataset, snapshot or pool it is for; empty: all of them. */
  object: string;
  /** It changes something. */
  changes: boolean;
}

/** The table of errors knows the words of the C locale. */
export const environment: NodeJS.ProcessEnv = { PATH: programEnv['PATH'], LC_ALL: 'C' };

const READ_MS = 30_000;
/** A change waits for the next transaction group, which a busy pool writes for many seconds. */
const CHANGE_MS = 120_000;
/** After its time a program is killed. One that waits for a suspended pool in the kernel does not end by that. */
const KILLED_MS = 5000;
/** Bytes of a listing, the most that the native helper keeps: about 100,000 properties. */
const MAX_OUTPUT_BYTES = 63 * 2 ** 20;
/** Programs at once for each pool. Changes wait for each other in the kernel. */
const PLACES = { reads: 4, changes: 8 };
/** Milliseconds before a repetition of what was refused because the dataset is busy: a mount takes a while to be gone. */
const BUSY_MS = [50, 100, 200, 400, 800, 1500];

/** The reason of a call whose time is over. */
class TimeOver extends Error {}

/** Runs `zfs` and `zpool`: a bounded number at once, time limits, repetitions, and errors as `ZfsError`. */
export class Commands {
  readonly #slots = new Map<string, Slots>();

  /**
   * The standard output of a command that has ended with code 0. A dataset that is busy is tried again, for 3 seconds.
   * @throws ZfsError; the signal's reason; CriError UNAVAILABLE when there is no native helper.
   */
  async run(command: Command, { signal, timeoutMs, repeats }: CallOptions = {}): Promise<string> {
    signal?.throwIfAborted();
    const limitMs = timeoutMs ?? (command.changes ? CHANGE_MS : READ_MS);
    const limit = new AbortController();
    const timer = setTimeout(() => {
      limit.abort(new TimeOver());
    }, limitMs);
    const abort = () => {
      limit.abort(signal?.reason);
    };
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await this.#patiently(command, limit.signal, repeats);
    } catch (error) {
      signal?.throwIfAborted();
      if (!limit.signal.aborted) throw error;
      throw timeError(command, limitMs, error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  async #patiently(command: Command, limit: AbortSignal, repeats?: number): Promise<string> {
    for (const waitMs of BUSY_MS.slice(0, repeats)) {
      try {
        return await this.#inTurn(command, limit);
      } catch (error) {
        if (!command.changes || !isKind(error, 'busy')) throw error;
        await sleep(waitMs, undefined, { signal: limit });
      }
    }
    return this.#inTurn(command, limit);
  }

  /** A program that cannot be killed keeps its place, so that not more and more of them wait for a suspended pool. */
  #inTurn(command: Command, limit: AbortSignal): Promise<string> {
    const pool = poolOf(command.object);
    const ended = this.#slotsOf(pool, command.changes).run(pool, limit, () => start(command, limit));
    return settlesSoonAfter(limit, KILLED_MS, ended);
  }

  #slotsOf(pool: string, changes: boolean): Slots {
    const key = `${changes ? 'changes' : 'reads'} ${pool}`;
    let slots = this.#slots.get(key);
    if (slots === undefined) this.#slots.set(key, (slots = new Slots(changes ? PLACES.changes : PLACES.reads)));
    return slots;
  }
}

async function start({ program, args, object, changes }: Command, signal: AbortSignal): Promise<string> {
  const attempt = { what: `${program} ${args[0] ?? ''}`, object };
  let result: RunResult;
  try {
    result = await run(program, args, {
      env: environment,
      cwd: '/',
      signal,
      maxOutputBytes: MAX_OUTPUT_BYTES,
      ...(!changes && { holds: 'nothing' as const }),
    });
  } catch (error) {
    if (signal.aborted || !(error instanceof CommandError)) throw error;
    throw errorFrom(attempt, error);
  }
  const problem = errorOfSuccess(attempt, result.stderr);
  if (problem !== undefined) throw problem;
  return result.stdout;
}

function timeError({ program, args, object, changes }: Command, limitMs: number, cause: unknown): Error {
  const effect = changes ? '; it may have been done' : '';
  const remedy = '; "zpool status" shows whether the pool is suspended';
  const reason = `not done after ${String(limitMs)} ms${effect}${remedy}`;
  return zfsError('timeout', { what: `${program} ${args[0] ?? ''}`, object }, reason, cause);
}
