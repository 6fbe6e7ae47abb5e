import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createHash, type Hash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { CriError, StatusCode } from '../../../core/model/errors.ts';
import { withStreams } from '../../../host/processes/with-streams.ts';

/** Of the whole root, as it would be in a container. Sorted, so that the same files give the same layer. */
const ARGUMENTS = [
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
  const child = withStreams(
    spawn('tar', [...ARGUMENTS, `--directory=${root}`, '.'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], LC_ALL: 'C' },
    }),
  );
  const ended = endOf(child);
  ended.catch(() => undefined);
  try {
    await pipeline(
      child.stdout,
      hashing(plain),
      createGzip({ level: 6 }),
      hashing(packed),
      createWriteStream(file, { flags: 'wx', mode: 0o600 }),
      { ...(signal && { signal }) },
    );
    await ended;
  } finally {
    child.kill('SIGKILL');
  }
  return { diffId: `sha256:${plain.digest('hex')}`, digest: `sha256:${packed.digest('hex')}` };
}

function endOf(child: ChildProcessByStdio<null, Readable, Readable>): Promise<void> {
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => (words = (words + chunk.toString('utf8')).slice(-500)));
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => {
      reject(new CriError(StatusCode.UNAVAILABLE, 'cannot run tar; install GNU tar', { cause }));
    });
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`tar failed: ${words.trim() || 'it was ended'}`));
    });
  });
}

function hashing(hash: Hash): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
}
