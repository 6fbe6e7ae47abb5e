import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { PassThrough, pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import { withStreams } from './with-streams.ts';

const GZIP = Buffer.from([0x1f, 0x8b]);
const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
const XZ = Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]);

/**
 * The uncompressed tar in a file that is plain or compressed by gzip, zstd or xz. What the bytes begin with decides, as in Docker: images exist whose media types say
 * otherwise, and the result is held against the layer's diff id anyway. Corrupt data is an error of the stream.
 */
export async function openTar(path: string): Promise<Readable> {
  const file = await open(path, 'r');
  let passedOn = false;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(6), 0, 6, 0);
    const head = buffer.subarray(0, bytesRead);
    if (isZstd(head.subarray(0, 4))) return filter('zstd', file);
    if (head.equals(XZ)) return filter('xz', file);
    passedOn = true;
    const bytes = createReadStream(path, { fd: file, start: 0, highWaterMark: 262_144 });
    if (!head.subarray(0, 2).equals(GZIP)) return bytes;
    // The reader of the result sees the error; there is nobody else to tell.
    return pipeline(bytes, createGunzip({ chunkSize: 131_072 }), () => undefined);
  } finally {
    if (!passedOn) await file.close();
  }
}

/** A frame or a skippable frame (RFC 8878, 3.1): zstd:chunked layers hold both kinds. */
function isZstd(head: Buffer): boolean {
  if (head.equals(ZSTD)) return true;
  return head.length === 4 && (head.readUInt32LE(0) & 0xfffffff0) >>> 0 === 0x184d2a50;
}

/** By a command: Node.js 24 knows no xz, and its zstd decoder ends with the first frame, while layers are made of many. */
function filter(command: 'zstd' | 'xz', file: FileHandle): Readable {
  const child = withStreams(
    spawn(command, ['--decompress', '--stdout', '--quiet'], { stdio: [file.fd, 'pipe', 'pipe'] }),
  );
  let words = '';
  child.stderr?.on('data', (chunk: Buffer) => (words = (words + chunk.toString('utf8')).slice(-500)));
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', (cause) => {
      const hint = `cannot run ${command}, which this archive needs; install ${command === 'xz' ? 'xz-utils' : 'zstd'}`;
      reject(new CriError(StatusCode.UNAVAILABLE, hint, { cause }));
    });
    child.once('close', (code) => {
      if (code === 0) resolve();
      else
        reject(new CriError(StatusCode.INVALID_ARGUMENT, `corrupt ${command} data: ${words.trim() || 'it was ended'}`));
    });
  });
  // Read from the start: Node.js throws away what nobody reads of a command that has ended.
  const output = new PassThrough({ highWaterMark: 262_144 });
  child.stdout?.pipe(output, { end: false });
  output.once('close', () => child.kill('SIGKILL'));
  // It may come before the reader does, who is told all the same.
  output.on('error', () => undefined);
  ended.then(
    () => output.end(),
    (error: unknown) => output.destroy(error as CriError),
  );
  return output;
}
