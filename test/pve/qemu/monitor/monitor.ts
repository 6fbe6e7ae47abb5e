import type { Monitor } from '../../guests/runtime.ts';
import { CommandFailure, converse, type Command } from './connection.ts';

const SECOND = 1000;
/** How long a command may take, in milliseconds, where it says nothing else. */
const TIMEOUT = 5 * SECOND;

/** The monitor of a process of QEMU and the agent in its guest, by their sockets. */
export class SocketMonitor implements Monitor {
  readonly #vmid: number;
  readonly #monitor: string;
  readonly #agent: string;

  /** @param socket the path of a socket of the machine by its extension */
  constructor(vmid: number, socket: (extension: string) => string) {
    this.#vmid = vmid;
    this.#monitor = socket('qmp');
    this.#agent = socket('qga');
  }

  async execute(
    command: string,
    parameters: Readonly<Record<string, unknown>> = {},
    timeout = TIMEOUT,
  ): Promise<unknown> {
    return (await this.#converse('qmp', [{ execute: command, arguments: parameters }], timeout))[0];
  }

  async human(line: string): Promise<string> {
    const parameters = { 'command-line': line };
    return String(await this.execute('human-monitor-command', parameters, 25 * SECOND)).replaceAll('\r', '');
  }

  async agent(
    command: string,
    parameters: Readonly<Record<string, unknown>> = {},
    timeout = TIMEOUT,
  ): Promise<unknown> {
    return (await this.#converse('qga', [{ execute: command, arguments: parameters }], timeout))[0];
  }

  async #converse(type: 'qmp' | 'qga', commands: readonly Command[], timeout: number): Promise<unknown[]> {
    const [path, hello] =
      type === 'qmp'
        ? [this.#monitor, { execute: 'qmp_capabilities' }]
        : [this.#agent, { execute: 'guest-sync-delimited', arguments: { id: Date.now() % 2 ** 31 } }];
    try {
      return await converse(path, hello, commands, timeout);
    } catch (error) {
      if (!(error instanceof CommandFailure)) throw error;
      throw new Error(`VM ${this.#vmid} ${type} command '${commands[0]!.execute}' failed - ${error.message}`);
    }
  }
}
