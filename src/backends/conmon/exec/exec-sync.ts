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

/** Keeps the first `limit` bytes and drops the rest. */
class Capture extends Writable {
  readonly #limit: number;
  readonly #chunks: Buffer[] = [];
  #size = 0;

  constructor(limit: number) {
    super();
    this.#limit = limit;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.#size < this.#limit) this.#chunks.push(chunk.subarray(0, this.#limit - this.#size));
    this.#size += chunk.length;
    done();
  }

  content(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}
