import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { CriError, StatusCode, unavailable } from '../../../../core/model/errors.ts';
import { killCgroup } from '../../../../host/cgroup/processes.ts';
import { destroyCgroup } from '../../../../host/cgroup/remove.ts';
import { writeFileAtomic } from '../../../../utils/fs/atomic.ts';
import { hookProgram } from '../../../hook-program.ts';
import { openDirectory } from '../../../pause-rootfs.ts';
import type { ProxmoxNode } from '../../../proxmox-node.ts';
import type { PodGuests } from '../../guests/pod-guests.ts';
import { warmId } from '../../../../core/model/warm-id.ts';
import { boundOf } from '../files/guest-files.ts';
import { HOOKSCRIPT } from '../files/hookscript.ts';
import { includeFile } from '../files/include-file.ts';
import type { Template } from '../files/template.ts';
import type { GuestMaker } from '../guest-maker.ts';
import { connectMonitor, endOf } from '../monitor-socket.ts';
import {
  cgroupRoot,
  podCgroupFile,
  warmCgroup,
  warmCgroupIn,
  warmDirectory,
  type WarmGuest,
  warmInit,
} from './warm-guest.ts';
import { type Settings, WARM_NAMESPACES } from './warm-settings.ts';

export interface WarmGuestsOptions {
  proxmox: ProxmoxNode;
  guests: PodGuests;
  maker: GuestMaker;
  template: Template;
  /** Of a guest that no pod has. */
  settings: Settings;
  /** Absolute path of the handler's directory. */
  directory: string;
}

/** Guests that are started ahead of their pods, one by one: made, adopted after a restart of this server, and removed. */
export class WarmGuests {
  readonly #options: WarmGuestsOptions;

  constructor(options: WarmGuestsOptions) {
    this.#options = options;
  }

  /** What a guest made now would be like, as text: of two that are equal, a pod may take either. */
  async fingerprint(): Promise<string> {
    const { proxmox, template, settings } = this.#options;
    const place = { path: '/guest', directory: '/guest' };
    const include = includeFile(WARM_NAMESPACES, {
      hasCard: false,
      native: hookProgram(),
      vmid: 0,
      permit: '/permit',
      also: '/also',
      cgroup: place.path,
      cgroupDirectory: place.directory,
    });
    const { storage, templateStorage } = proxmox;
    const parts = [await template.name(), HOOKSCRIPT, storage, templateStorage, settings, include];
    return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
  }

  /**
   * Makes a guest and starts it.
   * @param left called with the id of one that failed, for {@link remove}.
   * @throws as the API, UNAVAILABLE without quorum, before anything is made.
   */
  async make(signal: AbortSignal, left: (id: string) => void): Promise<WarmGuest> {
    const { guests, maker, directory: handlerDirectory } = this.#options;
    const { tags, ...settings } = this.#options.settings;
    if (!(await guests.isQuorate())) throw unavailable('no quorum');
    signal.throwIfAborted();
    const id = warmId(randomBytes(12).toString('hex'));
    const directory = this.#directory(id);
    try {
      await openDirectory(handlerDirectory);
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await mkdir(boundOf(directory));
      const root = await cgroupRoot();
      const vmid = await maker.make({
        owner: id,
        namespaces: WARM_NAMESPACES,
        directory,
        cgroupOf: (own) => warmCgroupIn(root, own),
        also: podCgroupFile(directory),
        settings,
        tags: String(tags),
        progress: () => Promise.resolve(),
        signal,
      });
      await maker.start(vmid, directory, warmCgroupIn(root, vmid).directory, signal);
      const monitor = await connectMonitor(vmid);
      if (monitor === undefined) throw new CriError(StatusCode.INTERNAL, `CT ${String(vmid)} exited immediately`);
      await writeFileAtomic(fingerprintOf(directory), await this.fingerprint());
      return { id, vmid, monitor };
    } catch (error) {
      left(id);
      throw error;
    }
  }

  /** A guest of an earlier server; undefined when it does not run, was not finished, or is not as one made now would be. */
  async adopt(id: string, vmid: number, fingerprint: string): Promise<WarmGuest | undefined> {
    const stored = await readFile(fingerprintOf(this.#directory(id)), 'utf8').catch(() => '');
    if (stored !== fingerprint || (await warmInit(vmid)) === undefined) return undefined;
    const monitor = await connectMonitor(vmid);
    return monitor && { id, vmid, monitor };
  }

  /**
   * Removes a guest that no pod has, with everything that bears its VMID. No error when there is none.
   * @throws as `PodGuests.remove`, UNAVAILABLE while the VMID is not free; the call may be repeated.
   */
  async remove(id: string): Promise<void> {
    const { guests } = this.#options;
    const vmid = await guests.vmidOf(id);
    if (vmid !== undefined) {
      const { directory } = await warmCgroup(vmid);
      // Before: liblxc's monitor takes no new connection while it runs Proxmox's hooks, but closes older ones after them.
      const monitor = await connectMonitor(vmid);
      await killCgroup([directory]);
      if (monitor !== undefined) await endOf(monitor);
      // Before its VMID is another guest's.
      await destroyCgroup([directory]);
      const left = await guests.remove(id, { vmid });
      if (left.length > 0) throw unavailable(`VMID ${String(vmid)} is not free yet: ${left.join(', ')}`);
    }
    await rm(this.#directory(id), { recursive: true, force: true });
  }

  #directory(id: string): string {
    return `${warmDirectory(this.#options.directory)}/${id}`;
  }
}

/** Written last: with it, a guest is whole. */
function fingerprintOf(directory: string): string {
  return `${directory}/fingerprint`;
}
