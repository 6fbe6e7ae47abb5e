import { rm } from 'node:fs/promises';
import { runHookscript } from '../guests/hookscript.ts';
import type { RuntimeHost } from '../guests/runtime.ts';
import type { GuestRef } from '../state/guest-files.ts';
import { commandLine } from './command/command-line.ts';
import type { HostFacts } from './command/host.ts';
import { memoryOf } from './command/parts/memory.ts';
import { hasAgent } from './command/parts/ports.ts';
import { parseCard } from './command/parts/network.ts';
import { forUpstream, type Substitutes } from './command/upstream.ts';
import { prepareDisks, withVolumes } from './disks.ts';
import { Scope } from './machine/scope.ts';
import type { EventSocket } from './monitor/events.ts';
import { SocketMonitor } from './monitor/monitor.ts';
import { removeNetworks, writeNetwork } from './networks.ts';
import { QemuProcess } from './process.ts';
import { Meter } from './usage.ts';

const SECOND = 1000;
const MEBIBYTE = 1024 ** 2;
/** How long `quit`, and after it each signal, may take. */
const QUIT_MS = 60 * SECOND;
const SIGNAL_MS = 10 * SECOND;

/** The node of a machine. */
export interface Node {
  readonly host: RuntimeHost;
  readonly facts: Omit<HostFacts, 'volume'>;
  readonly events: EventSocket;
  readonly substitutes: Substitutes;
}

type Values = Readonly<Record<string, string>>;

/** Seconds that a machine may take to start, as the node reckons them. */
function startTimeout(values: Values): number {
  const memory = memoryOf(values);
  return memory > 30_720 ? Math.floor(memory / 1024) : 30;
}

/** One running virtual machine. */
export class Machine {
  readonly ref: GuestRef;
  readonly process: QemuProcess;
  readonly monitor: SocketMonitor;
  readonly meter: Meter;
  readonly scope: Scope;
  /** Resolves when the process is gone and what follows that is done. */
  readonly over: Promise<void>;
  readonly node: Node;
  readonly #values: Values;

  private constructor(node: Node, ref: GuestRef, values: Values, process: QemuProcess, scope: Scope) {
    this.ref = ref;
    this.process = process;
    this.scope = scope;
    this.monitor = new SocketMonitor(ref.vmid, (extension) => `${node.facts.run}/${ref.vmid}.${extension}`);
    this.meter = new Meter(ref.vmid, process.pid, scope);
    this.node = node;
    this.#values = values;
    this.over = this.#cleanUp();
  }

  /**
   * Starts the machine of a configuration.
   * @param log gets the lines of the start task
   * @throws Error with the text of the start task's error.
   */
  static async start(node: Node, ref: GuestRef, values: Values, log: (line: string) => void): Promise<Machine> {
    const { vmid } = ref;
    const { host, events } = node;
    await runHookscript(vmid, values, 'pre-start', host.volumes, log);
    const facts = await withVolumes(node.facts, values, host.volumes);
    prepareDisks(values, host.volumes);
    // What has no virtualization by the kernel is emulated, as the configuration could say itself.
    const used = facts.kvm ? values : { ...values, kvm: '0' };
    const proxmox = commandLine(vmid, used, facts, (line) => log(`WARN: ${line}`));
    const command = forUpstream(proxmox, node.substitutes);
    for (const [key, value] of Object.entries(values)) {
      const [, number] = /^net(\d+)$/.exec(key) ?? [];
      if (number !== undefined) writeNetwork(facts.scripts, vmid, Number(number), value);
    }
    const scope = new Scope(vmid);
    const pidFile = `${facts.run}/${vmid}.pid`;
    const timeout = startTimeout(values) * SECOND;
    try {
      scope.make(values);
      const process = await QemuProcess.start({ vmid, command, pidFile, scope, events, timeout, log });
      return new Machine(node, ref, values, process, scope);
    } catch (error) {
      await scope.remove();
      removeNetworks(facts.scripts, vmid);
      throw error;
    }
  }

  /** What the node does over the monitor of a machine that has just started. */
  async ready(log: (line: string) => void): Promise<void> {
    const { balloon } = this.#values;
    if (balloon !== undefined && balloon !== '0')
      await this.monitor.execute('balloon', { value: Number(balloon) * MEBIBYTE });
    for (const [key, value] of Object.entries(this.#values)) {
      if (!/^net\d+$/.test(key) || parseCard(value).settings['link_down'] !== '1') continue;
      await this.monitor.execute('set_link', { name: key, up: false });
    }
    if (balloon !== '0') {
      const polling = { path: 'machine/peripheral/balloon0', property: 'guest-stats-polling-interval', value: 2 };
      await this.monitor.execute('qom-set', polling);
    }
    await this.#hook('post-start', log);
  }

  /** Ends the machine at once, as the node does: by its monitor, then by signals. */
  async stop(): Promise<void> {
    if (this.process.alive) {
      await this.#hook('pre-stop');
      const asked = await this.monitor.execute('quit', {}, QUIT_MS).then(
        () => true,
        () => false,
      );
      if (asked) await this.process.gone(QUIT_MS);
    }
    await this.end();
  }

  /** Ends the process by signals alone. */
  async end(): Promise<void> {
    this.process.kill('SIGTERM');
    if (!(await this.process.gone(SIGNAL_MS))) this.process.kill('SIGKILL');
    await this.over;
  }

  /**
   * Asks the guest to end: its agent where one answers, otherwise by the power button.
   * @returns whether it ended within `timeout` milliseconds; false also when `signal` aborted the wait.
   * @throws Error when it cannot be asked.
   */
  async shutdown(timeout: number, signal: AbortSignal, log: (line: string) => void): Promise<boolean> {
    await this.#hook('pre-stop', log);
    if (hasAgent(this.#values) && (await this.#agentAnswers(log))) {
      // It answers nothing: the guest is on its way out.
      void this.monitor.agent('guest-shutdown', {}, timeout).catch(() => undefined);
    } else {
      await this.monitor.execute('system_powerdown').catch(() => {
        if (this.process.alive) throw new Error('VM quit/powerdown failed');
      });
    }
    if (!(await this.process.gone(timeout, signal))) return false;
    await this.over;
    return true;
  }

  /** Does `work` while the machine stands still, if it does not already. */
  async frozen<T>(work: () => Promise<T>): Promise<T> {
    const { running } = (await this.monitor.execute('query-status')) as { running: boolean };
    if (running) await this.monitor.execute('stop');
    try {
      return await work();
    } finally {
      if (running) await this.monitor.execute('cont');
    }
  }

  async #agentAnswers(log: (line: string) => void): Promise<boolean> {
    return this.monitor.agent('guest-ping', {}, 3 * SECOND).then(
      () => true,
      (error: unknown) => {
        log(`QEMU Guest Agent is not running - ${(error as Error).message}`);
        return false;
      },
    );
  }

  async #hook(phase: 'post-start' | 'pre-stop' | 'post-stop', log = (_line: string): void => undefined): Promise<void> {
    await runHookscript(this.ref.vmid, this.#values, phase, this.node.host.volumes, log);
  }

  /** What qmeventd has done after the end of a process: sockets go, and what waited for the end is applied. */
  async #cleanUp(): Promise<void> {
    await this.process.ended;
    // Its files are open until then.
    await this.scope.remove();
    const { facts, host } = this.node;
    for (const extension of ['qmp', 'pid', 'vnc', 'qga', 'serial0', 'serial1', 'serial2', 'serial3'])
      await rm(`${facts.run}/${this.ref.vmid}.${extension}`, { force: true });
    removeNetworks(facts.scripts, this.ref.vmid);
    try {
      await host.ended(this.ref);
    } catch {
      // Nobody asked for it: a real node has it in its journal alone.
    }
    await this.#hook('post-stop');
  }
}
