import { writeFile } from 'node:fs/promises';
import { CriError, StatusCode } from '../../../core/model/errors.ts';
import type { Logger } from '../../../core/model/logger.ts';
import type { SandboxSpec } from '../../../core/model/sandbox-provider.ts';
import { findNamespaceInit } from '../../../host/cgroup/namespace-init.ts';
import { destroyCgroup } from '../../../host/cgroup/remove.ts';
import { spareFromOomKiller } from '../../../host/processes/oom-score.ts';
import { exists } from '../../../utils/fs/exists.ts';
import { hookProgram } from '../../hook-program.ts';
import type { ProxmoxNode } from '../../proxmox-node.ts';
import type { GuestRequest, PodGuests } from '../guests/pod-guests.ts';
import { addConfigLines } from './files/config-lines.ts';
import { configLines, includeOf, permitOf } from './files/guest-files.ts';
import { placeHookscript } from './files/hookscript.ts';
import { includeFile } from './files/include-file.ts';
import type { Template } from './files/template.ts';
import { endOfUnits } from './guest-units.ts';
import { isSwallowed, startFailure, stillCleaning } from './start-failure.ts';

/** The namespaces of a guest, and what is set in them. */
export type GuestNamespaces = Pick<SandboxSpec, 'network' | 'ipc' | 'userNamespace' | 'hostname' | 'sysctls'>;

/** A guest to be made, in a directory that exists. */
export interface GuestOrder extends GuestRequest {
  namespaces: GuestNamespaces;
  /** Absolute path of the directory with the files that the guest's configuration names. */
  directory: string;
  /** The guest's cgroup by its VMID, absolute below the root of the hierarchy, and its directory. */
  cgroupOf: (vmid: number) => { path: string; directory: string };
  tags: string;
  /** Called with its VMID before its configuration is complete, for a guest with a network interface of its own, `net0`. */
  secure?: (vmid: number) => Promise<void>;
  /** Path of a file that names one more cgroup, which ends with the guest's. */
  also?: string;
}

export interface GuestMakerParts {
  proxmox: ProxmoxNode;
  guests: PodGuests;
  template: Template;
  logger: Logger;
}

/** Makes guests whose first process is a pause process, and starts them. */
export class GuestMaker {
  readonly #parts: GuestMakerParts;

  constructor(parts: GuestMakerParts) {
    this.#parts = parts;
  }

  /** Makes a guest, which {@link start} can start, and resolves with its VMID. Errors are those of the API. */
  async make({
    namespaces,
    directory,
    cgroupOf,
    tags,
    secure,
    also,
    settings,
    ...request
  }: GuestOrder): Promise<number> {
    const { proxmox, guests, template, logger } = this.#parts;
    const storages = await (await proxmox.api()).storages.configs();
    const { ostemplate, rootfs } = await template.place(storages, proxmox);
    const hookscript = await placeHookscript(storages, proxmox, logger);
    const vmid = await guests.create({ ...request, settings: { ...settings, ostemplate, rootfs } });
    await secure?.(vmid);
    const cgroup = cgroupOf(vmid);
    const include = includeFile(namespaces, {
      hasCard: secure !== undefined,
      native: hookProgram(),
      vmid,
      permit: permitOf(directory),
      cgroup: cgroup.path,
      cgroupDirectory: cgroup.directory,
      ...(also !== undefined && { also }),
    });
    await writeFile(includeOf(directory), include, { mode: 0o600 });
    const lines = configLines(namespaces, directory, { tags, hookscript });
    await addConfigLines(proxmox.name, vmid, lines, `${directory}/lines`);
    return vmid;
  }

  /**
   * Starts a guest, once, and resolves with its first process.
   * @param cgroup the directory of its cgroup.
   * @throws CriError INTERNAL when it has exited, as `startFailure`; the signal's reason.
   */
  async start(vmid: number, directory: string, cgroup: string, signal?: AbortSignal): Promise<number> {
    // Left by an earlier start, it would make liblxc refuse this one.
    await destroyCgroup([cgroup]);
    await writeFile(permitOf(directory), '', { mode: 0o600 });
    await this.#start(vmid, permitOf(directory), signal).catch((error: unknown) => {
      throw startFailure(error);
    });
    const init = findNamespaceInit([`${cgroup}/ns`]);
    if (init === undefined) throw new CriError(StatusCode.INTERNAL, `CT ${String(vmid)} exited immediately`);
    await spareFromOomKiller([init]);
    return init;
  }

  /** A second time when the first was swallowed: then nothing has taken the permit. */
  async #start(vmid: number, permit: string, signal: AbortSignal | undefined): Promise<void> {
    const { guests } = this.#parts;
    try {
      await guests.start(vmid, signal);
    } catch (error) {
      if (signal?.aborted || !isSwallowed(error) || !(await exists(permit))) throw error;
      const units = await endOfUnits(vmid);
      if (units.length > 0) throw stillCleaning(vmid, units, error);
      await guests.start(vmid, signal);
    }
  }
}
