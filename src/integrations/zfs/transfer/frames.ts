import { createHash } from 'node:crypto';
import { CriError, failedPrecondition, StatusCode } from '../../../core/model/errors.ts';
import { ByteSource } from '../../../utils/tar/byte-source.ts';
import { TarError } from '../../../utils/tar/header.ts';

// The container of streams, described in docs/zfs.md: all numbers are big-endian.

const MAGIC = Buffer.from('proxmox-lxcri-z\n');
const VERSION = 1;
/** Bytes of the header: a configuration and a manifest of 4 MiB each, in base64, and names. */
const MAX_HEADER = 16 * 2 ** 20;
/** Bytes of a frame. */
const MAX_FRAME = 2 ** 20;
const DIGEST = 32;

/** What comes before the streams. @throws CriError FAILED_PRECONDITION when the header is too large. */
export function preamble(header: Buffer): Buffer {
  if (header.length > MAX_HEADER) throw failedPrecondition(`the image's documents exceed ${String(MAX_HEADER)} bytes`);
  return Buffer.concat([MAGIC, number(VERSION), number(header.length), header, sha256(header)]);
}

/** A stream in frames, its end, and its digest. */
export async function* framed(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  for await (const chunk of stream) {
    hash.update(chunk);
    for (let at = 0; at < chunk.length; at += MAX_FRAME) {
      const frame = chunk.subarray(at, at + MAX_FRAME);
      yield number(frame.length);
      yield frame;
    }
  }
  yield Buffer.concat([number(0), hash.digest()]);
}

/** Reads what {@link preamble} and {@link framed} have made. Every call throws CriError DATA_LOSS for anything else. */
export class FrameReader {
  readonly #source: ByteSource;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = new ByteSource(source);
  }

  /** @throws CriError FAILED_PRECONDITION for a later version. */
  async header(): Promise<Buffer> {
    if (!(await this.#read(MAGIC.length)).equals(MAGIC)) throw damaged('it is not the output of "proxmox-lxcri send"');
    const version = await this.#number();
    if (version !== VERSION)
      throw failedPrecondition(`the stream has the format ${String(version)}; install the version of the sender`);
    const length = await this.#number();
    if (length > MAX_HEADER) throw damaged(`its header has ${String(length)} bytes`);
    const header = await this.#read(length);
    if (!(await this.#read(DIGEST)).equals(sha256(header))) throw damaged('its header has another digest');
    return header;
  }

  /** The next stream. Its end is reached only when its digest is right; `digest` is known then. */
  stream(): { bytes: AsyncGenerator<Buffer>; digest: () => string | undefined } {
    let found: string | undefined;
    return { bytes: this.#stream((digest) => (found = digest)), digest: () => found };
  }

  /** @throws also when there is more. */
  async end(): Promise<void> {
    if ((await this.#maybe(1)) !== undefined) throw damaged('there is more after its end');
  }

  async *#stream(done: (digest: string) => void): AsyncGenerator<Buffer> {
    const hash = createHash('sha256');
    for (;;) {
      const length = await this.#number();
      if (length === 0) break;
      if (length > MAX_FRAME) throw damaged(`a frame has ${String(length)} bytes`);
      const frame = await this.#read(length);
      hash.update(frame);
      yield frame;
    }
    const digest = hash.digest();
    if (!(await this.#read(DIGEST)).equals(digest)) throw damaged('a part of it has another digest');
    done(`sha256:${digest.toString('hex')}`);
  }

  async #number(): Promise<number> {
    return (await this.#read(4)).readUInt32BE();
  }

  async #read(count: number): Promise<Buffer> {
    const bytes = count === 0 ? Buffer.alloc(0) : await this.#maybe(count);
    if (bytes === undefined) throw damaged('it ends early');
    return bytes;
  }

  async #maybe(count: number): Promise<Buffer | undefined> {
    try {
      return await this.#source.read(count);
    } catch (error) {
      if (error instanceof TarError) throw damaged('it ends early', error);
      throw error;
    }
  }
}

/** The error for a stream that is not what was sent. */
export function damaged(problem: string, cause?: unknown): CriError {
  return new CriError(StatusCode.DATA_LOSS, `the stream is damaged: ${problem}`, { cause });
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function sha256(data: Buffer): Buffer {
  return createHash('sha256').update(data).digest();
}
