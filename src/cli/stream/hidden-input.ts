import type { InputStream, OutputStream } from '../command.ts';

const [ENTER, NEWLINE, INTERRUPT, END, BACKSPACE, DELETE, KILL] = [0x0d, 0x0a, 0x03, 0x04, 0x08, 0x7f, 0x15];

/** Lines that are typed on a terminal without echo, until it is disposed. */
export class HiddenInput implements Disposable {
  readonly #input: InputStream;
  readonly #output: OutputStream;
  #typed = Buffer.alloc(0);
  #wake: () => void = () => undefined;
  #isOver = false;

  /** @param input a terminal. */
  constructor(input: InputStream, output: OutputStream) {
    this.#input = input;
    this.#output = output;
    input.setRawMode?.(true);
    input.on('data', this.#add);
    input.on('end', this.#end);
  }

  /** Writes a question, and returns the bytes that are typed up to Enter. @throws Error when Ctrl-C or Ctrl-D is typed instead. */
  async line(question: string): Promise<Buffer> {
    this.#output.write(question);
    let line: number[] = [];
    try {
      for (;;) {
        const byte = await this.#next();
        if (byte === ENTER || byte === NEWLINE) return Buffer.from(line);
        if (byte === undefined || byte === INTERRUPT || byte === END)
          throw new Error('interrupted: no password was typed');
        if (byte === BACKSPACE || byte === DELETE) line = withoutLast(line);
        else if (byte === KILL) line = [];
        else line.push(byte);
      }
    } finally {
      this.#output.write('\n');
    }
  }

  [Symbol.dispose](): void {
    this.#input.off('data', this.#add);
    this.#input.off('end', this.#end);
    this.#input.setRawMode?.(false);
    this.#input.pause();
  }

  readonly #add = (bytes: Buffer): void => {
    this.#typed = Buffer.concat([this.#typed, bytes]);
    this.#wake();
  };

  readonly #end = (): void => {
    this.#isOver = true;
    this.#wake();
  };

  async #next(): Promise<number | undefined> {
    while (this.#typed.length === 0 && !this.#isOver) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const [byte] = this.#typed;
    this.#typed = this.#typed.subarray(1);
    return byte;
  }
}

/** Without the last character, which in UTF-8 may have several bytes. */
function withoutLast(line: readonly number[]): number[] {
  const begin = line.findLastIndex((byte) => (byte & 0xc0) !== 0x80);
  return line.slice(0, Math.max(begin, 0));
}
