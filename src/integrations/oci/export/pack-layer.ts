import { createHash, type Hash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { CriError, StatusCode } from '../../../core/model/errors.ts';
import type { StepResult } from '../../../host/native/messages.ts';
import { startProgram } from '../../../host/processes/start-program.ts';

/** Of files as they would be in a container. Sorted, so that the same files give the same layer. */
export const TAR_ARGUMENTS: readonly string[] = [
  '--create',
  '--file=-',
  '--format=posix',
  '--pax-option=delete=atime,delete=ctime',
  '--numeric-owner',
  '--sort=name',
  '--xattrs',
  '--xattrs-include=user.*',
  '--xattrs-include=security.capability',
];

/**
 * Packs the tree `root` into a gzip-compressed layer, the new file `file`, by GNU tar.
 * @returns the digests of the tar and of the file.
 * @throws CriError UNAVAILABLE without tar, Error with tar's words; the signal's reason.
 */
export async function packLayer(
  root: string,
  file: string,
  signal: AbortSignal | undefined,
): Promise<{ diffId: string; digest: string }> {
  const plain = createHash('sha256');
  const packed = createHash('sha256');
  const kill = new AbortController();
  const { pipes, ended } = await startProgram(
    {
      argv: ['tar', ...TAR_ARGUMENTS, `--directory=${root}`, '.'],
      env: { PATH: process.env['PATH'], LC_ALL: 'C' },
      cwd: process.cwd(),
      pipes: { 1: 'out' },
      descriptors: { 2: { kind: 'capture', limit: 65_536 } },
    },
    kill.signal,
  );
  try {
    await pipeline(
      pipes[1],
      hashing(plain),
      createGzip({ level: 6 }),
      hashing(packed),
      createWriteStream(file, { flags: 'wx', mode: 0o600 }),
      { ...(signal && { signal }) },
    );
    throwIfFailed(await ended);
  } finally {
    kill.abort();
  }
  return { diffId: `sha256:${plain.digest('hex')}`, digest: `sha256:${packed.digest('hex')}` };
}

/** The result of tar. @throws CriError UNAVAILABLE without tar, Error with tar's words. */
export function throwIfFailed({ status, problem, exit, outputs }: StepResult): void {
  if (status === 'failed') {
    throw new CriError(StatusCode.UNAVAILABLE, 'cannot run tar; install GNU tar', { cause: new Error(problem) });
  }
  const words = outputs.get(2)?.bytes.toString('utf8').trim().slice(-500);
  if (exit?.code !== 0) throw new Error(`tar failed: ${words || 'killed'}`);
}

function hashing(hash: Hash): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
}
