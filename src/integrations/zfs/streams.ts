import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { StepResult } from '../../host/native/messages.ts';
import { programOutput } from '../../host/processes/program-output.ts';
import { CommandError } from '../../host/processes/run.ts';
import { startKillable } from '../../host/processes/start-program.ts';
import { isErrno } from '../../utils/errors.ts';
import { environment } from './commands.ts';
import { errorFrom } from './errors/from-outcome.ts';
import { assignment, checkObject, checkSnapshot } from './names.ts';
import type { Settings } from './zfs.ts';

/** Bytes that a stream has ready. */
const BUFFER = 1_048_576;
const WORDS = { kind: 'capture', limit: 4000 } as const;

export interface SendOptions {
  /** Only what has changed since this snapshot: of the same dataset, or the origin of a clone. */
  from?: string | undefined;
  /** As it is on disk, also encrypted; blocks stay compressed in any case. */
  raw?: boolean | undefined;
  /** With the properties of the dataset; true by default. */
  properties?: boolean;
  signal?: AbortSignal | undefined;
}

/**
 * A snapshot as a stream, which is destroyed with a ZfsError when `zfs send` fails; destroying it ends the
 * program.
 * @throws CriError INVALID_ARGUMENT for a bad name; the signal's reason.
 */
export async function send(
  snapshot: string,
  { from, raw = false, properties = true, signal }: SendOptions = {},
): Promise<Readable> {
  checkSnapshot(snapshot);
  const since = from === undefined ? [] : ['-i', checkSnapshot(from)];
  const step = {
    argv: ['zfs', 'send', raw ? '-w' : '-Lce', ...(properties ? ['-p'] : []), ...since, snapshot],
    env: environment,
    cwd: '/',
    descriptors: { 2: WORDS },
  };
  const failed = (result: StepResult) => failure('zfs send', snapshot, result, signal);
  return programOutput(step, { readyBytes: BUFFER, failure: failed, signal });
}

/**
 * Makes a dataset of a stream, unmounted, with these properties instead of the stream's; `origin` is the snapshot that the
 * stream continues. A failure leaves nothing of it. @param target the dataset, or its snapshot by name.
 * @throws ZfsError alreadyExists, badStream, full …; the stream's error; the signal's reason.
 */
export async function receive(
  target: string,
  stream: Readable,
  { settings = {}, signal }: { settings?: Settings; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const own = Object.entries(settings).flatMap(([name, value]) => ['-o', assignment(name, value)]);
  const { pipes, ended, kill } = await startKillable(
    {
      argv: ['zfs', 'receive', '-u', ...own, checkObject(target)],
      env: environment,
      cwd: '/',
      pipes: { 0: 'in' },
      descriptors: { 2: WORDS },
    },
    signal,
  );
  try {
    await pipeline(stream, pipes[0], { ...(signal && { signal }) });
  } catch (error) {
    // A broken pipe only means that the program has ended; its words have the reason.
    if (!isErrno(error, 'EPIPE')) {
      kill();
      await ended;
      signal?.throwIfAborted();
      throw error;
    }
  }
  const result = await ended;
  if (result.exit?.code !== 0) throw failure('zfs receive', target, result, signal);
}

function failure(what: string, object: string, result: StepResult, signal: AbortSignal | undefined): Error {
  if (signal?.aborted) return signal.reason as Error;
  const stderr = result.outputs.get(2)?.bytes.toString('utf8') ?? '';
  const outcome = { exitCode: result.exit?.code, signal: result.exit?.signal, stdout: '', stderr };
  const cause = Object.assign(new Error(result.problem), { code: result.code });
  const said = result.problem || `ended by ${result.exit?.signal ?? `code ${String(result.exit?.code)}`}`;
  return errorFrom({ what, object }, new CommandError('zfs', said, outcome, { cause }));
}
