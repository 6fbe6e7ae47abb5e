import { close, constants, open } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { call } from '../../../host/native/call.ts';

// Plain descriptors: a FileHandle would close its own when it is collected.
const openDescriptor = promisify(open);
const closeDescriptor = promisify(close);

/**
 * The three standard streams of a command as real pipes. Node.js gives its children sockets, and a command that opens
 * /dev/stdin or /dev/stdout fails on a socket (ENXIO).
 */
export class StandardPipes {
  /** The command's ends, blocking ones, as commands expect. */
  readonly given: readonly [number | 'ignore', number, number];
  /** undefined when the command has no input. */
  readonly stdin: Socket | undefined;
  readonly stdout: Socket;
  readonly stderr: Socket;
  #open: number[];

  private constructor(
    given: [number | 'ignore', number, number],
    stdin: Socket | undefined,
    outputs: [Socket, Socket],
  ) {
    this.given = given;
    this.stdin = stdin;
    [this.stdout, this.stderr] = outputs;
    this.#open = given.filter((end) => end !== 'ignore');
    for (const stream of [stdin, ...outputs]) stream?.on('error', () => undefined); // 'close' follows
  }

  /** Makes them by FIFOs in `directory`: `stdout`, `stderr` and, with `input`, `stdin`; else the command has no input. */
  static async make(directory: string, input: boolean): Promise<StandardPipes> {
    const [stdin, stdout, stderr] = ['stdin', 'stdout', 'stderr'].map((name) => join(directory, name)) as Names;
    const names = [...(input ? [stdin] : []), stdout, stderr];
    await call([{ do: 'mkfifo', paths: names, mode: 0o600 }]);
    const opened: number[] = [];
    const openEnd = async (name: string, flags: number) => {
      const descriptor = await openDescriptor(name, flags);
      opened.push(descriptor);
      return descriptor;
    };
    try {
      // Ours first: a writer cannot open without a reader, nor a blocking reader without a writer.
      const ours = await Promise.all([stdout, stderr].map((name) => openEnd(name, READ | constants.O_NONBLOCK)));
      const theirs = await Promise.all([stdout, stderr].map((name) => openEnd(name, constants.O_WRONLY)));
      let reader: number | 'ignore' = 'ignore';
      let writer: number | undefined;
      if (input) {
        const first = await openEnd(stdin, READ | constants.O_NONBLOCK);
        writer = await openEnd(stdin, constants.O_WRONLY | constants.O_NONBLOCK);
        reader = await openEnd(stdin, READ);
        await closeDescriptor(first);
        opened.splice(opened.indexOf(first), 1);
      }
      const [out, err] = ours.map((fd) => new Socket({ fd, readable: true, writable: false })) as [Socket, Socket];
      const source = writer === undefined ? undefined : new Socket({ fd: writer, readable: false, writable: true });
      return new StandardPipes([reader, theirs[0] ?? 0, theirs[1] ?? 0], source, [out, err]);
    } catch (error) {
      for (const descriptor of opened) await closeDescriptor(descriptor);
      throw error;
    }
  }

  /** To be called once the command has its ends, or the pipes never end. */
  async release(): Promise<void> {
    const open = this.#open;
    this.#open = [];
    for (const descriptor of open) await closeDescriptor(descriptor);
  }

  async close(): Promise<void> {
    for (const stream of [this.stdin, this.stdout, this.stderr]) stream?.destroy();
    await this.release();
  }
}

type Names = [string, string, string];
const READ = constants.O_RDONLY;
