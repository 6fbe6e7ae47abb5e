import { constants } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import type { Step } from '../../host/native/steps.ts';
import { programEnv } from '../../host/processes/programs.ts';
import { requestPrograms } from '../../host/processes/request-programs.ts';
import { CommandError, run } from '../../host/processes/run.ts';
import { exists } from '../../utils/fs/exists.ts';
import { readAliveFifo } from '../alive-fifo.ts';
import { pauseSpec } from './pause-bundle.ts';
import type { PauseBundle } from './pause-bundle.ts';

/** Runs the pause processes of shared PID namespaces, as OCI containers without a monitor. */
export class PauseProcesses {
  readonly #runtime: string;
  readonly #stateRoot: string;

  /** `stateRoot`: where the OCI runtime keeps its state. */
  constructor(runtime: string, stateRoot: string) {
    this.#runtime = runtime;
    this.#stateRoot = stateRoot;
  }

  /**
   * Starts one; its files are in `directory`, which exists. When `signal` fires the runtime is killed, and {@link
   * remove} removes what it has created. @throws CriError INTERNAL with the runtime's message; the signal's reason; as {@link
   * requestPrograms}: a runtime that outlived its caller would create the removed cgroup again.
   */
  async start(id: string, directory: string, bundle: PauseBundle, signal?: AbortSignal): Promise<void> {
    await mkdir(this.#stateRoot, { recursive: true, mode: 0o700 });
    await writeFile(`${directory}/config.json`, JSON.stringify(pauseSpec(bundle)), { mode: 0o600 });
    const log = `${directory}/holder.log`;
    await rm(log, { force: true });
    const fifo = fifoOf(directory);
    const runtime = [this.#runtime, `--root=${this.#stateRoot}`, `--log=${log}`];
    const steps: Step[] = [
      { do: 'mkfifo', paths: [fifo], mode: 0o600, replace: true },
      {
        do: 'spawn',
        argv: [...runtime, 'run', '-d', '-b', directory, id],
        env: programEnv,
        cwd: '/',
        // Its output is the FIFO for as long as it lives: the reader of that sees the end when the pause process ends. Nothing is
        // /dev/null, whose owner crun would change.
        descriptors: {
          0: { kind: 'input', data: '' },
          1: { kind: 'open', path: fifo, flags: constants.O_RDWR },
          2: { kind: 'open', path: fifo, flags: constants.O_RDWR },
          3: { kind: 'hold' },
        },
        limitMs: 60_000,
      },
    ];
    const results = await requestPrograms(steps, signal);
    signal?.throwIfAborted();
    const failed = results.find(({ status, exit }) => status !== 'done' || (exit?.code ?? 0) !== 0);
    if (failed === undefined) return;
    const words = (await readFile(log, 'utf8').catch(() => '')).trim().slice(-500);
    const problem = words || failed.problem || `${this.#runtime} ended with code ${String(failed.exit?.code)}`;
    throw new CriError(StatusCode.INTERNAL, `cannot start the pod's pause process: ${problem}`);
  }

  /** A stream that ends with the pause process; undefined when its FIFO is gone. */
  connect(directory: string): Promise<Socket | undefined> {
    return readAliveFifo(fifoOf(directory));
  }

  /** Removes the runtime's state of one whose processes have ended. No error when there is none, or only a part. */
  async remove(id: string): Promise<void> {
    if (!(await exists(`${this.#stateRoot}/${id}`))) return;
    // It cannot delete one whose start was interrupted; the caller removes its cgroup, and its state is removed here.
    const deleting = [`--root=${this.#stateRoot}`, 'delete', '--force', id];
    await run(this.#runtime, deleting, { timeoutMs: 30_000 }).catch((error: unknown) => {
      if (!(error instanceof CommandError)) throw error;
    });
    await rm(`${this.#stateRoot}/${id}`, { recursive: true, force: true });
  }
}

function fifoOf(directory: string): string {
  return `${directory}/alive`;
}
