import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { run } from '../../src/host/processes/run.ts';
import { HANG_MS } from '../lib/eventually.ts';
import type { Owner } from './server-fixture.ts';
import { type Size, Terminal } from './terminal.ts';

/** Transports between crictl and a streaming server. */
export const TRANSPORTS = ['spdy', 'websocket'] as const;
export type Transport = (typeof TRANSPORTS)[number];

/** crictl, built from its Go sources, as the client of one server. */
export class Crictl {
  readonly #program: string;
  readonly #options: string[];
  readonly #t: Pick<Owner, 'teardown'>;

  private constructor(program: string, socket: string, t: Pick<Owner, 'teardown'>) {
    this.#program = program;
    this.#options = ['--runtime-endpoint', `unix://${socket}`, '-t', `${String(HANG_MS)}ms`];
    this.#t = t;
  }

  /** Builds crictl if necessary; spawned processes are killed after the test. */
  static async for(t: Pick<Owner, 'teardown'>, socket: string): Promise<Crictl> {
    const tools = (await run('test/tools/build', [], { timeoutMs: 3_600_000 })).stdout.trim().split('\n').at(-1) ?? '';
    return new Crictl(join(tools, 'crictl'), socket, t);
  }

  spawn(...args: string[]): ChildProcessWithoutNullStreams {
    const child = spawn(this.#program, [...this.#options, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    child.stdin.on('error', () => undefined); // It may exit before it has read everything.
    this.#t.teardown(() => child.kill('SIGKILL'));
    return child;
  }

  /** Runs to the end, with input. */
  async run(args: string[], input: string | Buffer = '') {
    const child = this.spawn(...args);
    child.stdin.end(input);
    return ended(child);
  }

  /** Runs on its own terminal, which can be resized. */
  onTerminal(size: Size, ...args: string[]) {
    return Terminal.open(this.#t, [this.#program, ...this.#options, ...args], size);
  }

  /** Forwards a free local port to a port of the pod until `close`. */
  async forward(transport: Transport, pod: string, port: number, ...options: string[]) {
    const child = this.spawn('port-forward', '-r', transport, ...options, pod, `0:${String(port)}`);
    let words = '';
    // Reads to the end: a broken pipe would end crictl.
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

/** The output of a process until its exit, and its exit code. */
export async function ended(child: ChildProcessWithoutNullStreams) {
  const end = once(child, 'exit');
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = (await end) as [number | null];
  return { stdout, stderr, code };
}
