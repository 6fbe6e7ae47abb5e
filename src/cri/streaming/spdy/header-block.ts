import { constants, createInflate, deflateSync } from 'node:zlib';
import type { Inflate } from 'node:zlib';
import { spdyDictionary } from './dictionary.ts';
import { SpdyError } from './frames.ts';

/** Header fields of a stream, with lower-case names. */
export type SpdyHeaders = ReadonlyMap<string, string>;

/** Bytes of an inflated header block; those of kubectl have less than a hundred, and each open stream keeps one. */
const MAX_BLOCK_BYTES = 4096;
const MAX_FIELDS = 100;

/** Inflates header blocks, which share one compression context per connection: call it in the order of the frames. */
export class HeaderReader {
  readonly #inflate: Inflate = createInflate({ dictionary: spdyDictionary, finishFlush: constants.Z_SYNC_FLUSH });
  #pieces: Buffer[] = [];
  #size = 0;
  #failure: Error | undefined;
  #fail: (() => void) | undefined;

  constructor() {
    this.#inflate.on('data', (piece: Buffer) => {
      this.#size += piece.length;
      if (this.#size > MAX_BLOCK_BYTES) {
        this.#inflate.destroy(new SpdyError(`header block inflates to more than ${String(MAX_BLOCK_BYTES)} bytes`));
      } else this.#pieces.push(piece);
    });
    this.#inflate.on('error', (error) => {
      this.#failure = error instanceof SpdyError ? error : new SpdyError(`header block: ${error.message}`);
    });
    this.#inflate.on('close', () => {
      this.#failure ??= new SpdyError('header block after the end of the compression');
      this.#fail?.();
    });
  }

  /** @throws SpdyError for an invalid header block, or one that exceeds the limits. */
  async read(block: Buffer): Promise<SpdyHeaders> {
    if (this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#fail = resolve;
        this.#inflate.write(block, () => {
          resolve();
        });
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
    const content = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#size = 0;
    return parseHeaders(content);
  }

  close(): void {
    this.#inflate.destroy();
  }
}

/** Name and value pairs, each prefixed by its length (SPDY Protocol, Draft 3.1, section 2.6.10). @throws SpdyError */
export function parseHeaders(content: Buffer): SpdyHeaders {
  const headers = new Map<string, string>();
  let at = 0;
  const number = (): number => {
    if (at + 4 > content.length) throw new SpdyError('truncated header block');
    at += 4;
    return content.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const length = number();
    if (at + length > content.length) throw new SpdyError('truncated header block');
    at += length;
    return content.toString('utf8', at - length, at);
  };
  const count = number();
  if (count > MAX_FIELDS) throw new SpdyError(`header block has more than ${String(MAX_FIELDS)} fields`);
  for (let i = 0; i < count; i++) {
    const name = text().toLowerCase();
    headers.set(name, text());
  }
  return headers;
}

/** zlib's header with the dictionary's checksum, for the first block of a connection (RFC 1950). */
const ZLIB_HEADER = deflateSync('', { dictionary: spdyDictionary }).subarray(0, 6);
/** An empty stored block that is not the last: the end of Z_SYNC_FLUSH. */
const FLUSH = Buffer.from([0, 0, 0, 0xff, 0xff]);

/** Writes header blocks without compressing them (stored blocks of RFC 1951), which every inflater reads. */
export class HeaderWriter {
  #started = false;

  write(headers: SpdyHeaders): Buffer {
    const content = serialise(headers);
    const stored = Buffer.alloc(5);
    stored.writeUInt16LE(content.length, 1);
    stored.writeUInt16LE(content.length ^ 0xffff, 3);
    const block = Buffer.concat([this.#started ? Buffer.alloc(0) : ZLIB_HEADER, stored, content, FLUSH]);
    this.#started = true;
    return block;
  }
}

function serialise(headers: SpdyHeaders): Buffer {
  const parts = [uint32(headers.size)];
  for (const field of headers) {
    for (const text of field) {
      const bytes = Buffer.from(text, 'utf8');
      parts.push(uint32(bytes.length), bytes);
    }
  }
  return Buffer.concat(parts);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
