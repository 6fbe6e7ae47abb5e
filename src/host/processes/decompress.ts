import { constants, createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import type { StepResult } from '../native/messages.ts';
import { programOutput } from './program-output.ts';
import { programEnv } from './programs.ts';

const GZIP = Buffer.from([0x1f, 0x8b]);
const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
const XZ = Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]);

/**
 * MiB of memory of a decompressor. `xz -9` needs 65; without a limit, xz takes the 4 GiB that a file may ask for. zstd has its
 * own limit, 128.
 */
const MAX_MIB = 256;

/** Arguments beside the common ones. */
const OWN_ARGUMENTS = { zstd: [], xz: ['--threads=1', `--memlimit-decompress=${MAX_MIB}MiB`] };

/** Bytes that tell how the others are compressed. */
const HEAD_BYTES = 6;

/**
 * The uncompressed tar in a file or stream that is plain or compressed by gzip, zstd or xz. What the bytes begin with decides, as in Docker: images exist whose media types say
 * otherwise, and the result is verified against the layer's diff id. Corrupt data is an error of the stream.
 */
export function openTar(source: string | Readable): Promise<Readable> {
  return typeof source === 'string' ? openFile(source) : openStream(source);
}

async function openStream(source: Readable): Promise<Readable> {
  const chunks = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let head: Buffer = Buffer.alloc(0);
  while (head.length < HEAD_BYTES) {
    const next = await chunks.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  const bytes = Readable.from(joined(head, chunks), { objectMode: false, highWaterMark: 262_144 });
  if (isZstd(head.subarray(0, 4))) return filter('zstd', bytes);
  if (head.subarray(0, HEAD_BYTES).equals(XZ)) return filter('xz', bytes);
  if (!head.subarray(0, 2).equals(GZIP)) return bytes;
  return pipeline(bytes, createGunzip({ chunkSize: 131_072 }), () => undefined);
}

async function* joined(head: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  if (head.length > 0) yield head;
  try {
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

async function openFile(path: string): Promise<Readable> {
  const file = await open(path, 'r');
  let passedOn = false;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    const head = buffer.subarray(0, bytesRead);
    if (isZstd(head.subarray(0, 4))) return await filter('zstd', path);
    if (head.equals(XZ)) return await filter('xz', path);
    passedOn = true;
    const bytes = createReadStream(path, { fd: file, start: 0, highWaterMark: 262_144 });
    if (!head.subarray(0, 2).equals(GZIP)) return bytes;
    // The reader of the result receives the error.
    return pipeline(bytes, createGunzip({ chunkSize: 131_072 }), () => undefined);
  } finally {
    if (!passedOn) await file.close();
  }
}

/** A frame or a skippable frame (RFC 8878, 3.1): zstd:chunked layers contain both kinds. */
function isZstd(head: Buffer): boolean {
  if (head.equals(ZSTD)) return true;
  return head.length === 4 && (head.readUInt32LE(0) & 0xfffffff0) >>> 0 === 0x184d2a50;
}

/**
 * By a command: Node.js 24 does not support xz, and its zstd decoder stops after the first frame, while layers have
 * many.
 */
function filter(command: 'zstd' | 'xz', source: string | Readable): Promise<Readable> {
  const input = typeof source === 'string' ? undefined : source;
  const step = {
    argv: [command, '--decompress', '--stdout', '--quiet', ...OWN_ARGUMENTS[command]],
    env: programEnv,
    cwd: '/',
    descriptors: {
      ...(typeof source === 'string' && {
        0: { kind: 'open', path: resolve(source), flags: constants.O_RDONLY } as const,
      }),
      2: { kind: 'capture', limit: 65_536 },
    },
  } as const;
  return programOutput(step, { input, readyBytes: 262_144, failure: (result) => failure(command, result) });
}

function failure(command: 'zstd' | 'xz', { status, problem, outputs }: StepResult): CriError {
  if (status === 'failed') {
    const hint = `cannot run ${command}, which this archive needs; install ${command === 'xz' ? 'xz-utils' : 'zstd'}`;
    return new CriError(StatusCode.UNAVAILABLE, hint, { cause: new Error(problem) });
  }
  const words = outputs.get(2)?.bytes.toString('utf8').trim().slice(-500);
  if (words?.includes('Memory usage limit reached')) {
    return new CriError(
      StatusCode.INVALID_ARGUMENT,
      `refused: ${command} requires more than ${MAX_MIB} MiB of memory for it`,
    );
  }
  return new CriError(StatusCode.INVALID_ARGUMENT, `corrupt ${command} data: ${words || 'killed'}`);
}
