import { constants, open } from 'node:fs';
import { access, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { promisify } from 'node:util';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import { isErrno } from '../../utils/errors.ts';
import { CommandError, run } from '../../host/processes/run.ts';
import { holderSpec } from './holder-bundle.ts';
import type { HolderBundle } from './holder-bundle.ts';

/** Keeps the FIFO open as the holder's output, so that its reader sees the end when the holder ends. */
const startScript =
  'rm -f -- "$1" && mkfifo -m 600 -- "$1" && fifo=$1 && shift && exec "$@" </dev/null 1<>"$fifo" 2>/dev/null';

/** Runs, as OCI containers without a monitor, the processes that hold shared PID namespaces. */
export class PidHolders {
  readonly #runtime: string;
  readonly #stateRoot: string;

  /** `stateRoot`: where the OCI runtime keeps its state. */
  constructor(runtime: string, stateRoot: string) {
    this.#runtime = runtime;
    this.#stateRoot = stateRoot;
  }

  /** Starts one; its files are in `directory`, which exists. @throws CriError INTERNAL with the runtime's words. */
  async start(id: string, directory: string, bundle: HolderBundle): Promise<void> {
    await mkdir(this.#stateRoot, { recursive: true, mode: 0o700 });
    await writeFile(`${directory}/config.json`, JSON.stringify(holderSpec(bundle)), { mode: 0o600 });
    const log = `${directory}/holder.log`;
    await rm(log, { force: true });
    const runtime = [this.#runtime, `--root=${this.#stateRoot}`, `--log=${log}`];
    try {
      await run('/bin/sh', ['-c', startScript, 'sh', fifoOf(directory), ...runtime, 'run', '-d', '-b', directory, id], {
        timeoutMs: 60_000,
      });
    } catch (cause) {
      if (!(cause instanceof CommandError)) throw cause;
      const words = (await readFile(log, 'utf8').catch(() => '')).trim().slice(-500) || cause.message;
      throw new CriError(StatusCode.INTERNAL, `cannot start the pod's PID namespace holder: ${words}`, { cause });
    }
  }

  /** A stream that ends with the holder; undefined when its FIFO is gone. */
  async connect(directory: string): Promise<Socket | undefined> {
    try {
      // A descriptor and not a FileHandle, which would close it when collected.
      const fd = await promisify(open)(fifoOf(directory), constants.O_RDONLY | constants.O_NONBLOCK);
      return new Socket({ fd, readable: true, writable: false }).on('error', () => undefined).resume();
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  /** Removes what the runtime knows of it. No error when it knows nothing. */
  async remove(id: string): Promise<void> {
    const known = await access(`${this.#stateRoot}/${id}`).then(
      () => true,
      () => false,
    );
    if (!known) return;
    await run(this.#runtime, [`--root=${this.#stateRoot}`, 'delete', '--force', id], { timeoutMs: 30_000 });
    await rm(`${this.#stateRoot}/${id}`, { recursive: true, force: true });
  }
}

function fifoOf(directory: string): string {
  return `${directory}/alive`;
}
