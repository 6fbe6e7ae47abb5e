import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { run } from '../../src/host/processes/run.ts';
import type { Owner } from './server-fixture.ts';

/** ioctl_tty(2). */
const TIOCSWINSZ = 0x5414;
/** What a terminal does not say within this it will not say. */
const PATIENCE_MS = 30_000;

/** Transports that crictl speaks to a streaming server. */
export const TRANSPORTS = ['spdy', 'websocket'] as const;
export type Transport = (typeof TRANSPORTS)[number];

/** crictl, built from its Go sources, as the client of one server. */
export class Crictl {
  readonly #program: string;
  readonly #options: string[];
  readonly #t: Pick<Owner, 'teardown'>;

  private constructor(program: string, socket: string, t: Pick<Owner, 'teardown'>) {
    this.#program = program;
    this.#options = ['--runtime-endpoint', `unix://${socket}`, '-t', '30s'];
    this.#t = t;
  }

  /** Builds crictl when that was not done before; what is spawned is killed with the test. */
  static async for(t: Pick<Owner, 'teardown'>, socket: string): Promise<Crictl> {
    const tools = (await run('test/tools/build', [], { timeoutMs: 900_000 })).stdout.trim().split('\n').at(-1) ?? '';
    return new Crictl(join(tools, 'crictl'), socket, t);
  }

  spawn(...args: string[]): ChildProcessWithoutNullStreams {
    const child = spawn(this.#program, [...this.#options, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    child.stdin.on('error', () => undefined); // it may end before it has read all
    this.#t.teardown(() => child.kill('SIGKILL'));
    return child;
  }

  /** Runs to the end, with input. */
  async run(args: string[], input: string | Buffer = '') {
    const child = this.spawn(...args);
    child.stdin.end(input);
    return ended(child);
  }

  /** Runs on a terminal of its own (script(1)), whose size can be changed. */
  async onTerminal({ width, height }: { width: number; height: number }, ...args: string[]) {
    const words = [this.#program, ...this.#options, ...args];
    const command = `tty; stty rows ${String(height)} cols ${String(width)} -echo; exec ${words.join(' ')}`;
    const child = spawn('script', ['-qfc', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    const leave = () => child.kill('SIGKILL');
    this.#t.teardown(leave);
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const until = async (pattern: RegExp) => {
      const signal = AbortSignal.timeout(PATIENCE_MS);
      for (let found; ;) {
        if ((found = pattern.exec(output)) !== null) return found;
        await once(child.stdout, 'data', { signal }).catch((error: unknown) => {
          throw new Error(`no ${String(pattern)} on the terminal, but ${JSON.stringify(output)}`, { cause: error });
        });
      }
    };
    const device = (await until(/^(\/dev\/pts\/\d+)\r?\n/))[1] ?? '';
    const over = once(child, 'exit');
    return {
      leave,
      /** Types a last line and waits for the end. */
      end: async (line: string) => {
        child.stdin.write(`${line}\n`);
        await over;
      },
      /** Types a line until the answer to it is there. */
      converse: async (line: string, answer: RegExp) => {
        const typing = setInterval(() => child.stdin.write(`${line}\n`), 300);
        await until(answer).finally(() => {
          clearInterval(typing);
        });
      },
      // In one step: stty(1) takes two, and of two signals in a row crictl may pass the second over.
      resize: async (size: { width: number; height: number }) => {
        const script = `open my $tty, '<', $ARGV[0] or die $!; ioctl $tty, ${String(TIOCSWINSZ)}, pack 'S4', @ARGV[1..2], 0, 0 or die $!`;
        await run('perl', ['-e', script, device, String(size.height), String(size.width)]);
      },
    };
  }

  /** Forwards a free local port to a pod's until `close`. */
  async forward(transport: Transport, pod: string, port: number, ...options: string[]) {
    const child = this.spawn('port-forward', '-r', transport, ...options, pod, `0:${String(port)}`);
    let words = '';
    // Read on to the end: a broken pipe would end crictl.
    const local = await new Promise<number>((resolve, reject) => {
      child.stdout.on('data', (chunk: Buffer) => {
        const found = /127\.0\.0\.1:(\d+)/.exec(chunk.toString())?.[1];
        if (found !== undefined) resolve(Number(found));
      });
      child.stderr.on('data', (chunk: Buffer) => (words += chunk.toString()));
      child.once('exit', () => {
        reject(new Error(`crictl port-forward ended: ${words}`));
      });
    });
    const close = async () => {
      const over = once(child, 'exit');
      child.kill('SIGINT');
      await over;
    };
    return { local, child, close };
  }
}

/** What a process says until its end, and how it ended. */
export async function ended(child: ChildProcessWithoutNullStreams) {
  const end = once(child, 'exit');
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = (await end) as [number | null];
  return { stdout, stderr, code };
}
