import { type ZstdCompress, type ZstdDecompress, constants } from 'node:zlib';

/*
 * The synchronous functions of Node.js make a context of zstd for each call, which takes twice as long as compressing a short
 * content and four times as long as decompressing it. The context below a stream can be used again: this is the call by which
 * Node.js's own synchronous functions use it, the same from version 10 to 24. It is not documented, so other versions do without.
 */
const IS_KNOWN = process.versions.node.startsWith('24.');

/** What a stream of `node:zlib` has inside. */
interface Inside {
  _handle: {
    writeSync(
      flush: number,
      input: Buffer,
      inputStart: number,
      inputLength: number,
      output: Buffer,
      outputStart: number,
      outputLength: number,
    ): void;
  } | null;
  /** Bytes that are left of output and input. */
  _writeState: Uint32Array;
}

/** A context of zstd that is kept for one frame after another. */
export class ZstdContext {
  readonly #make: () => ZstdCompress | ZstdDecompress;
  readonly #flush: number;
  #stream: (ZstdCompress | ZstdDecompress) | undefined;

  /** @param make a stream with the parameters; it is made when it is needed, and again after an error. */
  constructor(kind: 'compress' | 'decompress', make: () => ZstdCompress | ZstdDecompress) {
    this.#make = make;
    this.#flush = kind === 'compress' ? constants.ZSTD_e_end : constants.ZSTD_e_continue;
  }

  /**
   * Makes one frame of a content, or the content of one frame.
   * @param output must have room for it and a byte more. @returns its length; undefined when this version of Node.js is not known.
   * @throws Error of zstd; Error when the input was not taken, or the output is too small.
   */
  run(input: Buffer, output: Buffer): number | undefined {
    if (!IS_KNOWN) return undefined;
    // An error is thrown here, and emitted as well.
    const stream = (this.#stream ??= this.#make().on('error', () => undefined));
    const { _handle: handle, _writeState: left } = stream as unknown as Inside;
    handle?.writeSync(this.#flush, input, 0, input.length, output, 0, output.length);
    const [outputLeft = 0, inputLeft = 0] = left;
    if (stream.errored === null && outputLeft > 0 && inputLeft === 0) return output.length - outputLeft;
    // It may be in the midst of a frame.
    this.#stream = undefined;
    stream.destroy();
    throw stream.errored ?? Object.assign(new Error('the output is too small'), { code: 'ERR_BUFFER_TOO_LARGE' });
  }
}
