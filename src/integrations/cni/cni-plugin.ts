import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { CriError, StatusCode, unavailable } from '../../core/model/errors.ts';
import type { SeparateCommands } from '../../host/processes/helpers.ts';
import { CommandError, run } from '../../host/processes/run.ts';
import { abortable } from '../../utils/async/abortable.ts';

/** The owner of a call's interface. */
export interface CniAttachment {
  containerId: string;
  /** Path of the network namespace; undefined when it is gone (DEL only). */
  netns: string | undefined;
  ifName: string;
  /** `KEY=VALUE` pairs for CNI_ARGS, checked. */
  args: string;
}

/** The parameters of one plugin call (CNI specification, section 2). */
export type CniCall =
  | { command: 'ADD' | 'DEL' | 'CHECK'; attachment: CniAttachment }
  | { command: 'STATUS' | 'GC'; attachment?: undefined };

/** Calls of a DEL whose helper dies: it can be repeated, and needs the network namespace, which a rollback removes next. */
const DEL_TRIES = 3;

/**
 * Maximum milliseconds of a call. A hanging plugin keeps its pod's lock, and the kubelet's timeout for a sandbox is
 * four minutes; STATUS delays the kubelet's own status check, GC every new pod.
 */
const LIMIT_MS = { ADD: 120_000, DEL: 120_000, CHECK: 30_000, STATUS: 15_000, GC: 60_000 };

/** Runs each call of a plugin, with what is to happen around it. */
export type AroundCall = <T>(plugin: string, command: CniCall['command'], work: () => Promise<T>) => Promise<T>;

/** Runs CNI plugins found in a list of directories. */
export class CniPlugins {
  readonly #directories: readonly string[];
  readonly #commands: SeparateCommands;
  readonly #around: AroundCall;
  readonly #nice: number | undefined;

  /** @param nice by how much their priority is lowered (nice(2)); not by default. */
  constructor(
    directories: readonly string[],
    commands: SeparateCommands,
    around: AroundCall = (_plugin, _command, work) => work(),
    nice?: number,
  ) {
    this.#directories = directories;
    this.#commands = commands;
    this.#around = around;
    this.#nice = nice;
  }

  /** The plugin's path. @throws CriError UNAVAILABLE naming the plugin and the directories searched. */
  async find(type: string): Promise<string> {
    for (const directory of this.#directories) {
      const path = join(directory, type);
      const executable = await access(path, constants.X_OK).then(
        () => true,
        () => false,
      );
      if (executable) return path;
    }
    throw unavailable(`CNI plugin ${JSON.stringify(type)} not found in ${this.#directories.join(', ')}`);
  }

  /**
   * Calls a plugin with a configuration on its standard input and returns its output. Its environment has only CNI's
   * variables and PATH. On timeout or when `signal` fires it is killed with its process group, which includes plugins
   * that it delegates to; their completed work stays. ADD, DEL and GC wait until those of an earlier server have ended. A DEL
   * whose native helper dies is called again.
   * @throws CriError UNAVAILABLE with the plugin's own error; the signal's reason.
   */
  call(type: string, config: object, call: CniCall, signal?: AbortSignal): Promise<string> {
    return this.#around(type, call.command, () => this.#call(type, config, call, signal));
  }

  async #call(type: string, config: object, call: CniCall, signal: AbortSignal | undefined): Promise<string> {
    const { command } = call;
    const path = await this.find(type);
    const { fifo, earlierEnded } = this.#commands;
    const changes = command === 'ADD' || command === 'DEL' || command === 'GC';
    if (changes) await abortable(earlierEnded, signal);
    for (let tries = command === 'DEL' ? DEL_TRIES : 1; ; tries--) {
      try {
        return await this.#run(path, config, call, changes ? fifo : undefined, signal);
      } catch (cause) {
        signal?.throwIfAborted();
        if (!(cause instanceof CommandError)) {
          if (tries > 1) continue;
          throw cause;
        }
        const words = pluginError(cause.stdout) ?? cause.message;
        throw new CriError(StatusCode.UNAVAILABLE, `CNI plugin ${type} failed to ${command}: ${words}`, { cause });
      }
    }
  }

  async #run(
    path: string,
    config: object,
    { command, attachment }: CniCall,
    fifo: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const { stdout } = await run(path, [], {
      input: JSON.stringify(config),
      env: {
        CNI_COMMAND: command,
        ...(attachment !== undefined && {
          CNI_CONTAINERID: attachment.containerId,
          CNI_NETNS: attachment.netns ?? '',
          CNI_IFNAME: attachment.ifName,
          CNI_ARGS: attachment.args,
        }),
        CNI_PATH: this.#directories.join(':'),
        PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin',
      },
      cwd: '/',
      timeoutMs: LIMIT_MS[command],
      signal,
      ...(this.#nice !== undefined && { nice: this.#nice }),
      holds: fifo === undefined ? 'nothing' : { fifo },
    });
    return stdout;
  }
}

/** The error object that a plugin prints on its standard output (CNI specification, section 5, "Error"). */
function pluginError(stdout: string): string | undefined {
  try {
    const { code, msg, details } = JSON.parse(stdout) as { code?: unknown; msg?: unknown; details?: unknown };
    if (typeof msg !== 'string') return undefined;
    const more = typeof details === 'string' && details !== '' ? `; ${details}` : '';
    return `${msg}${more} (code ${String(code)})`.slice(0, 1000);
  } catch {
    return undefined;
  }
}
