import { close, constants, open } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { promisify } from 'node:util';

const openDescriptor = promisify(open);
const closeDescriptor = promisify(close);

/** A real pipe from this process to a command; a command that opens /dev/stdin fails on the sockets of Node.js (ENXIO). */
export class InputPipe {
  /** The command's end; a blocking one, as commands expect. */
  readonly reader: number;
  readonly writer: Socket;
  #readerOpen = true;

  private constructor(reader: number, writer: Socket) {
    this.reader = reader;
    this.writer = writer;
    writer.on('error', () => undefined); // the command reads no more; 'close' follows
  }

  /** Opens both ends of an existing FIFO and removes its name. */
  static async open(fifo: string): Promise<InputPipe> {
    // A writer cannot open without a reader, nor a blocking reader without a writer.
    const first = await openDescriptor(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const writer = await openDescriptor(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
      const reader = await openDescriptor(fifo, constants.O_RDONLY);
      await rm(fifo);
      return new InputPipe(reader, new Socket({ fd: writer, readable: false, writable: true }));
    } finally {
      await closeDescriptor(first);
    }
  }

  /** To be called once the command has its end. */
  async closeReader(): Promise<void> {
    if (!this.#readerOpen) return;
    this.#readerOpen = false;
    await closeDescriptor(this.reader);
  }

  async close(): Promise<void> {
    this.writer.destroy();
    await this.closeReader();
  }
}
