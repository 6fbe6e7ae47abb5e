import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import { startProgram } from '../processes/start-program.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import { TarError } from '../../utils/tar/header.ts';
import { MAX_TAR_CPU_SECONDS, MAX_TAR_MEMORY_BYTES } from './bounds.ts';

/**
 * Bytes that are written together, and that tar reads together: as many as the pipe holds. With the 10 KiB that tar reads by
 * default, both wake each other for each of them, which takes longer than writing the files.
 */
const BATCH = 262_144;

const ARGUMENTS = [
  '--extract',
  '--file=-',
  `--record-size=${BATCH}`,
  '--numeric-owner',
  '--same-owner',
  '--same-permissions',
  '--delay-directory-restore',
  '--xattrs',
  '--xattrs-include=*',
  '--warning=no-timestamp',
];

/** The bounds of `bounds.ts` that hold for tar itself. */
export interface TarLimits {
  /** {@link MAX_TAR_MEMORY_BYTES} */
  maxTarMemoryBytes: number;
  /** {@link MAX_TAR_CPU_SECONDS} */
  maxTarCpuSeconds: number;
}

export const TAR_LIMITS: TarLimits = {
  maxTarMemoryBytes: MAX_TAR_MEMORY_BYTES,
  maxTarCpuSeconds: MAX_TAR_CPU_SECONDS,
};

/** Exit codes of prlimit(1) for a program that cannot be executed or found. */
const CANNOT_RUN = [126, 127];

/**
 * Unpacks an archive with validated names into a directory, by GNU tar.
 * @throws CriError INVALID_ARGUMENT when the archive is bad or exceeds a limit, RESOURCE_EXHAUSTED when the disk is full;
 *   the signal's reason.
 */
export async function extract(
  archive: AsyncIterable<Buffer>,
  directory: string,
  signal: AbortSignal | undefined,
  limits: TarLimits = TAR_LIMITS,
): Promise<void> {
  signal?.throwIfAborted();
  const kill = new AbortController();
  const { pipes, ended } = await startProgram(
    {
      argv: [
        'prlimit',
        `--data=${limits.maxTarMemoryBytes}`,
        // The soft limit alone: at the hard one the kernel kills without a reason.
        `--cpu=${limits.maxTarCpuSeconds}:`,
        'tar',
        ...ARGUMENTS,
        `--directory=${directory}`,
      ],
      env: { PATH: process.env['PATH'], LC_ALL: 'C' },
      cwd: process.cwd(),
      pipes: { 0: 'in' },
      descriptors: { 2: { kind: 'capture', limit: 2000 } },
    },
    kill.signal,
  );
  try {
    await pipeline(Readable.from(batches(archive), { objectMode: false, highWaterMark: BATCH }), pipes[0], {
      ...(signal ? { signal } : {}),
    });
  } catch (error) {
    // A broken pipe only means that tar has exited; its message has the reason.
    const tarEnded = isErrno(error, 'EPIPE');
    if (!tarEnded) kill.abort();
    const result = await ended;
    signal?.throwIfAborted();
    if (!tarEnded || result.exit?.code === 0) throw asInvalid(error);
  }
  const result = await ended;
  const said = result.outputs.get(2)?.bytes.toString('utf8') ?? '';
  if (result.status === 'failed' || CANNOT_RUN.includes(result.exit?.code ?? 0)) {
    const cause = new Error(result.problem || said);
    throw new CriError(StatusCode.UNAVAILABLE, 'cannot run tar; install GNU tar and util-linux', { cause });
  }
  if (result.exit?.signal === 'SIGXCPU') {
    throw refused(`unpacking takes more than ${limits.maxTarCpuSeconds} seconds of processor time`);
  }
  if (/memory exhausted/i.test(said)) {
    throw refused(`tar requires more than ${limits.maxTarMemoryBytes / 2 ** 20} MiB of memory for it`);
  }
  if (result.exit?.code !== 0) throw failure(said);
}

function asInvalid(error: unknown): unknown {
  if (!(error instanceof TarError)) return error;
  return refused(messageOf(error), error);
}

function refused(problem: string, cause?: unknown): CriError {
  return new CriError(StatusCode.INVALID_ARGUMENT, `refused: ${problem}`, { cause });
}

function failure(words: string): CriError {
  const said = words
    .trim()
    .replaceAll(/\s*\n\s*/g, '; ')
    .slice(0, 500);
  const code = /No space left|Disk quota exceeded|Wrote only \d+ of \d+ bytes/.test(said)
    ? StatusCode.RESOURCE_EXHAUSTED
    : StatusCode.INVALID_ARGUMENT;
  return new CriError(code, `unpacking failed: ${said || 'tar was killed'}`);
}

async function* batches(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let pending: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    pending.push(chunk);
    size += chunk.length;
    if (size < BATCH) continue;
    yield Buffer.concat(pending, size);
    pending = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(pending, size);
}
