import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { run } from '../../src/host/processes/run.ts';
import { HANG_MS } from '../lib/eventually.ts';
import type { Owner } from './server-fixture.ts';

/** ioctl_tty(2). */
const TIOCSWINSZ = 0x5414;

/** Columns and rows. */
export interface Size {
  width: number;
  height: number;
}

/** A command on its own terminal, without echo, created by script(1). */
export class Terminal {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #over: Promise<unknown[]>;
  #output = '';
  #device = '';

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    this.#over = once(child, 'exit');
    child.stdin.on('error', () => undefined); // It may exit before it has read everything.
    child.stdout.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
  }

  /** Starts the words as one shell command; it is killed after the test. */
  static async open(
    t: Pick<Owner, 'teardown'>,
    words: readonly string[],
    { width, height }: Size,
    env = process.env,
  ): Promise<Terminal> {
    const command = `tty; stty rows ${String(height)} cols ${String(width)} -echo; exec ${words.join(' ')}`;
    const child = spawn('script', ['-qefc', command, '/dev/null'], { stdio: 'pipe', detached: true, env });
    const terminal = new Terminal(child);
    t.teardown(() => {
      terminal.leave();
    });
    terminal.#device = (await terminal.until(/^(\/dev\/pts\/\d+)\r?\n/))[1] ?? '';
    return terminal;
  }

  /** All output so far. */
  get output(): string {
    return this.#output;
  }

  /** Closes the terminal, whatever runs on it. */
  leave(): void {
    this.#child.kill('SIGKILL');
  }

  /** Types keys. */
  type(keys: string): void {
    this.#child.stdin.write(keys);
  }

  /** Waits until the output matches. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    const signal = AbortSignal.timeout(HANG_MS);
    for (let found; ;) {
      if ((found = pattern.exec(this.#output)) !== null) return found;
      await once(this.#child.stdout, 'data', { signal }).catch((error: unknown) => {
        throw new Error(`no ${String(pattern)} on the terminal, but ${JSON.stringify(this.#output)}`, { cause: error });
      });
    }
  }

  /** Waits for the end. @returns the exit code. */
  async ended(): Promise<number> {
    const [code] = (await this.#over) as [number];
    return code;
  }

  /** Types a last line and waits for the end. */
  async end(line: string): Promise<number> {
    this.type(`${line}\n`);
    return this.ended();
  }

  /** Types a line until its answer appears. */
  async converse(line: string, answer: RegExp): Promise<void> {
    const typing = setInterval(() => {
      this.type(`${line}\n`);
    }, 300);
    await this.until(answer).finally(() => {
      clearInterval(typing);
    });
  }

  /** In one step: stty(1) takes two, and a program may miss the second of two signals in a row. */
  async resize(size: Size): Promise<void> {
    const script = `open my $tty, '<', $ARGV[0] or die $!; ioctl $tty, ${String(TIOCSWINSZ)}, pack 'S4', @ARGV[1..2], 0, 0 or die $!`;
    await run('perl', ['-e', script, this.#device, String(size.height), String(size.width)]);
  }
}
