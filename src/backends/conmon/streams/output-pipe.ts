import { close, constants, open } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { promisify } from 'node:util';

// Plain descriptors: a FileHandle would close its own when it is collected.
const openDescriptor = promisify(open);
const closeDescriptor = promisify(close);

/**
 * A real pipe from a command to this process. Node.js gives its children sockets, and a command that opens /dev/stdout
 * fails on a socket (ENXIO).
 */
export class OutputPipe {
  /** The command's end. */
  readonly writer: number;
  /** Resolves when every writer has closed its end, or after {@link close}. */
  readonly ended: Promise<void>;
  readonly #reader: Socket;
  readonly #chunks: Buffer[] = [];
  #writerOpen = true;

  private constructor(writer: number, reader: Socket, limit: number) {
    this.writer = writer;
    this.#reader = reader;
    let size = 0;
    reader.on('data', (chunk: Buffer) => {
      if (size < limit) this.#chunks.push(chunk.subarray(0, limit - size));
      size += chunk.length;
    });
    reader.on('error', () => undefined); // 'close' follows
    this.ended = new Promise((resolve) => {
      reader.on('close', () => {
        resolve();
      });
    });
  }

  /** Opens both ends of an existing FIFO and removes its name. At most `limit` bytes are kept, the rest is dropped. */
  static async open(fifo: string, limit: number): Promise<OutputPipe> {
    const reader = await openDescriptor(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const writer = await openDescriptor(fifo, constants.O_WRONLY);
      await rm(fifo);
      return new OutputPipe(writer, new Socket({ fd: reader, readable: true, writable: false }), limit);
    } catch (error) {
      await closeDescriptor(reader);
      throw error;
    }
  }

  /** What has come so far. */
  content(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** To be called once the command has its end, or the pipe never ends. */
  async closeWriter(): Promise<void> {
    if (!this.#writerOpen) return;
    this.#writerOpen = false;
    await closeDescriptor(this.writer);
  }

  async close(): Promise<void> {
    this.#reader.destroy();
    await this.closeWriter();
  }
}
