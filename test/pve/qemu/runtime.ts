import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { GuestConfig, Section } from '../config/config-text.ts';
import {
  ApiOnlyRuntime,
  type Archive,
  type CopySource,
  type GuestRuntime,
  type Monitor,
  type Running,
  type RuntimeHost,
  type Usage,
} from '../guests/runtime.ts';
import { bridges } from '../lxc/machine/surroundings.ts';
import { copyVolume } from '../lxc/copy.ts';
import { missingPools } from '../lxc/machine/needs.ts';
import type { Datasets } from '../storage/zfspool/datasets.ts';
import { ZfsDatasets } from '../storage/zfspool/zfs.ts';
import type { GuestRef } from '../state/guest-files.ts';
import { hostFacts, makeNodeFiles, places } from './facts.ts';
import { hasIoUring, missingNeeds } from './machine/needs.ts';
import { livingPid } from './machine/proc.ts';
import { EventSocket } from './monitor/events.ts';
import { takes } from './plug/takes.ts';
import { changeMachine } from './plug/change.ts';
import { Machine, type Node } from './machine.ts';

/**
 * Runs virtual machines as processes of QEMU, with the command line that Proxmox would use; containers are run by another
 * runtime. VMIDs are names of cgroups and networks: one cluster a kernel.
 */
export class QemuRuntime implements GuestRuntime {
  readonly #containers: GuestRuntime;
  readonly #datasets = new ZfsDatasets();
  readonly #machines = new Map<number, Machine>();
  #node: Node | undefined;

  /** @param containers what runs containers; nothing does unless said otherwise */
  constructor(containers: GuestRuntime = new ApiOnlyRuntime()) {
    this.#containers = containers;
  }

  async open(host: RuntimeHost): Promise<void> {
    const { run, share, events } = places(host.directory);
    const missing = [...missingNeeds(run), ...(await missingPools(host.volumes.pools()))];
    if (missing.length > 0) throw new Error(`virtual machines need ${missing.join('; ')}`);
    await this.#containers.open(host);
    await makeNodeFiles({ run, share });
    await endLeft(run);
    const facts = await hostFacts(host);
    const substitutes = { kvm: facts.kvm, ioUring: hasIoUring() };
    this.#node = { host, facts, substitutes, events: await EventSocket.listen(events) };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#machines.values()].map((machine) => machine.end()));
    this.#node?.events.close();
    await this.#containers.close();
  }

  bridges(): readonly string[] {
    return Object.keys(bridges()).sort();
  }

  datasets(): Datasets {
    return this.#containers.datasets() ?? this.#datasets;
  }

  running(ref: GuestRef): Running | undefined {
    if (ref.kind.type === 'lxc') return this.#containers.running(ref);
    return this.#find(ref)?.process;
  }

  generate(ref: GuestRef, config: GuestConfig): void {
    if (ref.kind.type === 'lxc') this.#containers.generate(ref, config);
  }

  async start(ref: GuestRef, config: GuestConfig, log: (line: string) => void): Promise<void> {
    if (ref.kind.type === 'lxc') {
      await this.#containers.start(ref, config, log);
      return;
    }
    // What follows the end of the last process is done first.
    await this.#machines.get(ref.vmid)?.over;
    if (this.#node === undefined) throw new Error('the runtime is not open');
    const machine = await Machine.start(this.#node, ref, config.current.values, log);
    this.#machines.set(ref.vmid, machine);
    void machine.over.then(() => {
      if (this.#machines.get(ref.vmid) === machine) this.#machines.delete(ref.vmid);
    });
    await machine.ready(log);
  }

  async stop(ref: GuestRef, late = false): Promise<void> {
    const machine = this.#machines.get(ref.vmid);
    if (ref.kind.type === 'lxc') await this.#containers.stop(ref, late);
    else if (late) await machine?.end();
    else await machine?.stop();
  }

  async shutdown(ref: GuestRef, timeout: number, signal: AbortSignal, log: (line: string) => void): Promise<boolean> {
    if (ref.kind.type === 'lxc') return this.#containers.shutdown(ref, timeout, signal, log);
    return (await this.#find(ref)?.shutdown(timeout, signal, log)) ?? true;
  }

  usage(ref: GuestRef, cpus: number): Usage {
    return (
      (ref.kind.type === 'qemu' ? this.#find(ref)?.meter.read(cpus) : undefined) ?? this.#containers.usage(ref, cpus)
    );
  }

  interfaces(ref: GuestRef): Promise<Record<string, unknown>[] | undefined> {
    return this.#containers.interfaces(ref);
  }

  monitor(ref: GuestRef): Monitor | undefined {
    return this.#find(ref)?.monitor;
  }

  takes(ref: GuestRef, key: string, config: GuestConfig): boolean {
    return ref.kind.type === 'lxc' ? this.#containers.takes(ref, key, config) : takes(key, config);
  }

  async change(ref: GuestRef, before: Section, config: GuestConfig): Promise<Record<string, string>> {
    if (ref.kind.type === 'lxc') return this.#containers.change(ref, before, config);
    const machine = this.#find(ref);
    return machine === undefined || this.#node === undefined
      ? {}
      : changeMachine(machine, before.values, config.current.values);
  }

  unpack(ref: GuestRef, archive: Archive): Promise<string> {
    return this.#containers.unpack(ref, archive);
  }

  async frozen<T>(ref: GuestRef, work: () => Promise<T>): Promise<T> {
    if (ref.kind.type === 'lxc') return this.#containers.frozen(ref, work);
    const machine = this.#find(ref);
    return machine === undefined ? work() : machine.frozen(work);
  }

  copy(from: CopySource, to: string): Promise<void> {
    return copyVolume(from, to);
  }

  async forget(ref: GuestRef): Promise<void> {
    if (ref.kind.type === 'lxc') await this.#containers.forget(ref);
  }

  ignoreShutdown(vmid: number, ignores: boolean): void {
    if (this.#machines.has(vmid)) throw new Error(`VM ${vmid} is a process: what it ignores is its own`);
    this.#containers.ignoreShutdown(vmid, ignores);
  }

  crash(vmid: number): void {
    const machine = this.#machines.get(vmid);
    if (machine === undefined) this.#containers.crash(vmid);
    else machine.process.kill('SIGKILL');
  }

  #find({ vmid, node }: GuestRef): Machine | undefined {
    const machine = this.#machines.get(vmid);
    return machine?.ref.node === node && machine.process.alive ? machine : undefined;
  }
}

/** Ends the machines that an earlier run left when it was killed, and removes their sockets. */
async function endLeft(run: string): Promise<void> {
  for (const name of await readdir(run)) {
    const pid = name.endsWith('.pid') ? livingPid(join(run, name)) : undefined;
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    await rm(join(run, name), { recursive: true, force: true });
  }
}
