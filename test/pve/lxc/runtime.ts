import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, rm, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GuestConfig, Section } from '../config/config-text.ts';
import { printGuest } from '../config/guest.ts';
import { lxc } from '../config/kind.ts';
import { runHookscript } from '../guests/hookscript.ts';
import { parseGuestConfig } from '../guest-config/parse.ts';
import type { ProxmoxRelease } from '../guest-config/model.ts';
import {
  ApiOnlyRuntime,
  type Archive,
  type CopySource,
  type Running,
  type RuntimeHost,
  type Usage,
} from '../guests/runtime.ts';
import type { GuestRef } from '../state/guest-files.ts';
import type { Datasets } from '../storage/zfspool/datasets.ts';
import { ZfsDatasets } from '../storage/zfspool/zfs.ts';
import { copyVolume } from './copy.ts';
import { freeze, removeCgroups } from './machine/cgroups.ts';
import { isRunning } from './machine/command-socket.ts';
import { writeLxcFiles } from './files.ts';
import { idsOf } from './ids.ts';
import { changeLimit } from './limits.ts';
import { missingNeeds, missingPools, unfitPlace } from './machine/needs.ts';
import { changeNetwork, interfacesOf } from './network.ts';
import { writePlan } from './plan.ts';
import { LxcProcess, makeNodeFiles, StartFailure } from './process.ts';
import { bridges } from './machine/surroundings.ts';
import { tool } from './machine/tool.ts';
import { unpackArchive } from './unpack.ts';
import { Meter } from './usage.ts';
import { prepareVolumes } from './volumes.ts';

/** Milliseconds that a guest may take to end by itself when it cannot be stopped. */
const ENDING_MS = 5_000;

interface Guest {
  readonly ref: GuestRef;
  readonly process: LxcProcess;
  readonly meter: Meter;
  /** Resolves when what follows its end is done. */
  readonly over: Promise<void>;
}

/**
 * Runs containers as LXC containers, with the configuration that Proxmox would write; virtual machines are notes. The
 * guests of a node lie in a directory of LXC's of its own, so that several nodes share a kernel. VMIDs are names of
 * cgroups and networks: one cluster a kernel.
 */
export class LxcRuntime extends ApiOnlyRuntime {
  readonly #guests = new Map<number, Guest>();
  readonly #datasets = new ZfsDatasets();
  readonly #places: Readonly<Record<string, string>>;
  readonly #keptUnits = new Set<number>();
  readonly #bare: boolean;
  #host: RuntimeHost | undefined;
  #nodeFiles = '';
  #closing = false;

  /**
   * @param places directories of LXC by node, such as that of a real node for one of them.
   * @param bare runs on a machine without AppArmor, or without controllers on cgroup v2: containers have no limits then. For
   *   measurements, which the test guest is too slow for.
   */
  constructor(places: Readonly<Record<string, string>> = {}, { bare = false }: { bare?: boolean } = {}) {
    super();
    this.#places = places;
    this.#bare = bare;
  }

  override async open(host: RuntimeHost): Promise<void> {
    this.#host = host;
    const lxcPaths = host.nodes.map((node) => this.#lxcPath(node));
    const pools = await missingPools(host.volumes.pools());
    const missing = [...missingNeeds(this.#bare), ...unfitPlace(host.directory, lxcPaths), ...pools];
    if (missing.length > 0) throw new Error(`containers need ${missing.join('; ')}`);
    // Root of an unprivileged container reaches its volumes through it; what is secret below is so itself.
    await chmod(host.directory, 0o711);
    this.#nodeFiles = await makeNodeFiles(join(host.directory, 'node-files'));
    for (const node of host.nodes) {
      await mkdir(this.#lxcPath(node), { recursive: true, mode: 0o755 });
      await this.#endLeft(node);
    }
  }

  override async close(): Promise<void> {
    this.#closing = true;
    await Promise.all([...this.#guests.values()].map(({ ref }) => this.stop(ref)));
    await super.close();
  }

  override datasets(): Datasets {
    return this.#datasets;
  }

  override bridges(): readonly string[] {
    return Object.keys(bridges()).sort();
  }

  override running(ref: GuestRef): Running | undefined {
    if (ref.kind.type === 'qemu') return super.running(ref);
    const guest = this.#guests.get(ref.vmid);
    return guest?.ref.node === ref.node ? guest.process : undefined;
  }

  override generate({ node, vmid }: GuestRef, config: GuestConfig): void {
    this.#write(node, vmid, config);
  }

  override async start(ref: GuestRef, config: GuestConfig, log: (line: string) => void): Promise<void> {
    if (ref.kind.type === 'qemu') {
      await super.start(ref, config, log);
      return;
    }
    const { node, vmid } = ref;
    const ids = idsOf(config.current);
    await prepareVolumes(vmid, config.current, this.#open.volumes, ids);
    writePlan(this.#write(node, vmid, config), vmid, config.current, this.#open.volumes, ids);
    await removeCgroups(vmid);
    await this.#hook(ref, 'pre-start', log);
    if (this.#keptUnits.has(vmid)) {
      // systemctl has nothing to start, and no state of the guest comes within ten seconds.
      log('problem with monitor socket, but continuing anyway: got timeout');
      throw new Error(`unable to get PID for CT ${vmid} (not running?)`);
    }
    const process = await LxcProcess.start(this.#nodeFiles, this.#lxcPath(node), vmid).catch((error: unknown) => {
      if (error instanceof StartFailure) error.lines.forEach(log);
      throw error;
    });
    const over = process.ended.then(() => this.#ended(ref));
    this.#guests.set(vmid, { ref, process, meter: new Meter(vmid, process), over });
    await this.#hook(ref, 'post-start', log);
  }

  override async stop(ref: GuestRef): Promise<void> {
    const guest = this.#guests.get(ref.vmid);
    if (ref.kind.type === 'qemu') await super.stop(ref);
    if (ref.kind.type === 'qemu' || guest === undefined) return;
    await this.#hook(ref, 'pre-stop');
    // It fails where the guest is ending by itself: a real node then waits for that, too.
    const failure = await this.#lxcStop(ref, ['--kill']).catch((error: unknown) => error);
    if (failure !== undefined) await Promise.race([guest.over, sleep(ENDING_MS, undefined, { ref: false })]);
    if (failure !== undefined && this.#guests.has(ref.vmid)) throw failure as Error;
    await guest.over;
  }

  override async shutdown(
    ref: GuestRef,
    timeout: number,
    signal: AbortSignal,
    log: (line: string) => void,
  ): Promise<boolean> {
    if (ref.kind.type === 'qemu') return super.shutdown(ref, timeout, signal, log);
    const guest = this.#guests.get(ref.vmid);
    if (guest === undefined) return true;
    await this.#hook(ref, 'pre-stop', log);
    const seconds = String(Math.ceil(timeout / 1000));
    const stopped = await this.#lxcStop(ref, ['--nokill', '--timeout', seconds], signal).then(
      () => true,
      () => this.running(ref) === undefined,
    );
    if (stopped) await guest.over;
    return stopped;
  }

  override usage(ref: GuestRef, cpus: number): Usage {
    const guest = this.#guests.get(ref.vmid);
    return ref.kind.type === 'qemu' || guest === undefined ? super.usage(ref, cpus) : guest.meter.read(cpus);
  }

  override async interfaces(ref: GuestRef): Promise<Record<string, unknown>[] | undefined> {
    const pid = this.#guests.get(ref.vmid)?.process.pid;
    return pid === undefined ? undefined : interfacesOf(pid);
  }

  override takes({ kind }: GuestRef, key: string, _config: GuestConfig): boolean {
    // Mounting in a running container is left out.
    return kind.type === 'qemu' || !/^(?:mp|dev)\d+$/.test(key);
  }

  override async change(ref: GuestRef, before: Section, config: GuestConfig): Promise<Record<string, string>> {
    const guest = this.#guests.get(ref.vmid);
    const failed: Record<string, string> = {};
    if (ref.kind.type === 'qemu' || guest === undefined) return failed;
    const after = config.current;
    const keys = new Set([...Object.keys(before.values), ...Object.keys(after.values)]);
    for (const key of [...keys].filter((one) => before.values[one] !== after.values[one]).sort()) {
      try {
        if (this.#bare) continue;
        if (changeLimit(guest.process.cgroup, key, after) || !/^net\d+$/.test(key)) continue;
        const directory = join(this.#lxcPath(ref.node), String(ref.vmid));
        const plugged = { vmid: ref.vmid, pid: guest.process.pid, directory, nodeFiles: this.#nodeFiles };
        await changeNetwork(plugged, key.slice('net'.length), before, after);
      } catch (error) {
        failed[key] = (error as Error).message;
      }
    }
    return failed;
  }

  override async unpack({ node, vmid }: GuestRef, { file, config }: Archive): Promise<string> {
    const ids = idsOf(config);
    const directory = join(this.#lxcPath(node), String(vmid));
    await mkdir(join(directory, 'rootfs'), { recursive: true, mode: 0o755 });
    await prepareVolumes(vmid, config, this.#open.volumes, ids);
    writePlan(directory, vmid, config, this.#open.volumes, ids);
    return unpackArchive(this.#nodeFiles, directory, file, ids);
  }

  override async frozen<T>(ref: GuestRef, work: () => Promise<T>): Promise<T> {
    const guest = this.#guests.get(ref.vmid);
    if (ref.kind.type === 'qemu' || guest === undefined) return super.frozen(ref, work);
    await freeze(guest.process.cgroup, true);
    try {
      return await work();
    } finally {
      await freeze(guest.process.cgroup, false);
    }
  }

  override copy(from: CopySource, to: string): Promise<void> {
    return copyVolume(from, to);
  }

  override async forget(ref: GuestRef): Promise<void> {
    if (ref.kind.type === 'qemu') return;
    const directory = join(this.#lxcPath(ref.node), String(ref.vmid));
    if (!existsSync(directory)) return;
    // Empty here: volumes are mounted in the namespaces of guests alone.
    for (const name of ['rootfs', 'passthrough']) {
      await rmdir(join(directory, name)).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      });
    }
    await rm(directory, { recursive: true });
    await removeCgroups(ref.vmid);
  }

  /** Keeps the unit that runs a guest active after its end, as one whose last hook takes long: a start meanwhile does nothing. */
  keepUnit(vmid: number, kept: boolean): void {
    if (kept) this.#keptUnits.add(vmid);
    else this.#keptUnits.delete(vmid);
  }

  override ignoreShutdown(vmid: number, ignores: boolean): void {
    if (this.#guests.has(vmid)) throw new Error(`CT ${vmid} is a process: what it ignores is its own`);
    super.ignoreShutdown(vmid, ignores);
  }

  override crash(vmid: number): void {
    const guest = this.#guests.get(vmid);
    if (guest === undefined) super.crash(vmid);
    else process.kill(guest.process.pid, 'SIGKILL');
  }

  get #open(): RuntimeHost {
    if (this.#host === undefined) throw new Error('the runtime is not open');
    return this.#host;
  }

  #hook(
    ref: GuestRef,
    phase: Parameters<typeof runHookscript>[2],
    log = (_line: string): void => undefined,
  ): Promise<void> {
    return runHookscript(ref.vmid, this.#open.config(ref).current.values, phase, this.#open.volumes, log);
  }

  #lxcPath(node: string): string {
    return this.#places[node] ?? join(this.#open.directory, 'lxc', node);
  }

  #write(node: string, vmid: number, config: GuestConfig): string {
    const { release } = this.#open;
    const version: ProxmoxRelease = release === '8.4' ? 8 : 9;
    const text = printGuest(lxc, config, release);
    return writeLxcFiles(parseGuestConfig(text, vmid, version).config, {
      vmid,
      version,
      lxcPath: this.#lxcPath(node),
      bare: this.#bare,
    });
  }

  async #lxcStop(
    { node, vmid }: Pick<GuestRef, 'node' | 'vmid'>,
    options: readonly string[],
    signal?: AbortSignal,
  ): Promise<void> {
    const where = ['-n', String(vmid), '-P', this.#lxcPath(node)];
    await tool('lxc-stop', [...where, ...options], signal && { signal });
  }

  /** Ends the guests that an earlier run left when it was killed. */
  async #endLeft(node: string): Promise<void> {
    for (const vmid of (await readdir(this.#lxcPath(node))).map(Number)) {
      if (await isRunning(this.#lxcPath(node), vmid)) await this.#lxcStop({ node, vmid }, ['--kill']);
    }
  }

  /** After lxc-start has ended: what waited for it is applied, and a guest that reboots itself is started. */
  async #ended(ref: GuestRef): Promise<void> {
    const again = join(this.#lxcPath(ref.node), String(ref.vmid), 'reboot');
    const reboots = existsSync(again);
    this.#guests.delete(ref.vmid);
    try {
      await this.#open.ended(ref);
      if (!reboots) {
        await this.#hook(ref, 'post-stop');
        return;
      }
      await unlink(again);
      if (!this.#closing) await this.start(ref, this.#open.config(ref), () => undefined);
    } catch {
      // Nobody asked for it: a real node has it in its journal alone.
    }
  }
}
