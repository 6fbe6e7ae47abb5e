import { Writable } from 'node:stream';
import type { ExecOptions, ExecResult } from '../../../core/model/container-runner.ts';
import { deadlineExceeded } from '../../../core/model/errors.ts';
import { runExec } from './exec.ts';
import type { Exec } from './exec.ts';

/**
 * Runs one command without input and returns its output; see ContainerRunner.exec.
 * @throws CriError DEADLINE_EXCEEDED on timeout, CANCELLED when the signal fired; the command is dead then.
 */
export async function execSync(
  exec: Omit<Exec, 'io' | 'signal' | 'follow'>,
  { timeoutMs, maxOutputBytes, signal }: ExecOptions,
): Promise<ExecResult> {
  const limit = new AbortController();
  const expire = () => {
    limit.abort(deadlineExceeded(`the command timed out after ${String(timeoutMs)} ms and was killed`));
  };
  const timer = timeoutMs > 0 ? setTimeout(expire, timeoutMs) : undefined;
  const [stdout, stderr] = [new Capture(maxOutputBytes), new Capture(maxOutputBytes)];
  try {
    const exitCode = await runExec({
      ...exec,
      io: { stdin: undefined, stdout, stderr, resizes: undefined },
      follow: false,
      signal: signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]),
    });
    const [out, err] = fit(stdout.content(), stderr.content(), maxOutputBytes);
    return { exitCode, stdout: out, stderr: err };
  } finally {
    clearTimeout(timer);
  }
}

/** Both outputs within `limit` bytes: the smaller one whole, up to half of them, the other truncated to the rest. */
export function fit(stdout: Buffer, stderr: Buffer, limit: number): [Buffer, Buffer] {
  const half = Math.floor(limit / 2);
  const forStdout = Math.max(half, limit - stderr.length);
  const out = stdout.subarray(0, forStdout);
  return [out, stderr.subarray(0, limit - out.length)];
}

/** Bytes of a block in which small chunks are collected: alone, each would take a hundred bytes of memory more. */
const BLOCK_BYTES = 65_536;

/** Keeps the first `limit` bytes and drops the rest. */
export class Capture extends Writable {
  readonly #limit: number;
  readonly #chunks: Buffer[] = [];
  #block: Buffer | undefined;
  #blockSize = 0;
  #size = 0;

  constructor(limit: number) {
    super();
    this.#limit = limit;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.#size < this.#limit) this.#keep(chunk.subarray(0, this.#limit - this.#size));
    this.#size += chunk.length;
    done();
  }

  #keep(chunk: Buffer): void {
    if (this.#blockSize + chunk.length > BLOCK_BYTES) this.#endBlock();
    if (chunk.length > BLOCK_BYTES / 16) {
      this.#endBlock();
      this.#chunks.push(chunk);
      return;
    }
    this.#block ??= Buffer.allocUnsafeSlow(BLOCK_BYTES);
    this.#blockSize += chunk.copy(this.#block, this.#blockSize);
  }

  #endBlock(): void {
    if (this.#block !== undefined && this.#blockSize > 0) {
      this.#chunks.push(Buffer.from(this.#block.subarray(0, this.#blockSize)));
    }
    this.#blockSize = 0;
  }

  /** What was kept, once. */
  content(): Buffer {
    this.#endBlock();
    return Buffer.concat(this.#chunks.splice(0));
  }
}
