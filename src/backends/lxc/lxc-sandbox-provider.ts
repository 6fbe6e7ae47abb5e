import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { CriError, StatusCode, failedPrecondition, unavailable } from '../../core/model/errors.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import type { HandlerFeatures, Placement, SandboxProvider, SandboxSpec } from '../../core/model/sandbox-provider.ts';
import { findNamespaceInit } from '../../host/cgroup/namespace-init.ts';
import { cgroupProcesses, killCgroup } from '../../host/cgroup/processes.ts';
import { removeCgroup } from '../../host/cgroup/remove.ts';
import { writeFileAtomic } from '../../utils/fs/atomic.ts';
import { ProgramProbe } from '../../host/processes/program-probe.ts';
import { readAliveFifo } from '../alive-fifo.ts';
import { ExitWatch } from '../exit-watch.ts';
import { spareFromOomKiller } from '../../host/processes/oom-score.ts';
import { defaultInit, openFolder } from '../holder-rootfs.ts';
import { checkSandboxId, checkSandboxSpec, isSandboxId } from '../sandbox-spec.ts';
import { guestCgroups, innerCgroup, prepareGuestCgroups, startCgroup } from './guest-cgroups.ts';
import type { GuestCgroups } from './guest-cgroups.ts';
import { guestConfig } from './guest-config.ts';
import { prepareHolder } from './holder.ts';
import type { Holder } from './holder.ts';
import { endMonitor } from './monitor-end.ts';
import { startGuest } from './start-guest.ts';

export interface LxcSandboxProviderOptions {
  /** liblxc's own folder (`-P`), such as `<state>/lxc`; made when missing, mode 0711. */
  lxcPath: string;
  logger: Logger;
  /** The program lxc-start, by default the one on PATH. */
  lxcStart?: string;
  /** A statically linked init with a pause mode `-P`; by default Debian's catatonit. */
  init?: string;
}

/**
 * The handler `lxc`: a pod is one LXC container that holds the pod's namespaces and cgroup. `lxc-ls -P <lxcPath>` lists it
 * under the sandbox's id; `lxc-info` and `lxc-stop` reach it in its monitor's network namespace, see {@link startGuest}, and
 * ending it by them ends the pod's containers too.
 */
export class LxcSandboxProvider implements SandboxProvider {
  readonly handler = 'lxc';
  readonly features: HandlerFeatures = { recursiveReadOnlyMounts: true, userNamespaces: true };
  readonly #lxcPath: string;
  readonly #logger: Logger;
  readonly #lxcStart: string;
  readonly #init: string;
  readonly #probe = new ProgramProbe();
  readonly #watch: ExitWatch;
  #holder: Promise<Holder> | undefined;

  /** @throws CriError FAILED_PRECONDITION when `lxcPath` has characters that liblxc's hook lines cannot carry. */
  constructor(options: LxcSandboxProviderOptions) {
    for (const path of [options.lxcPath, options.init ?? '/']) {
      if (!/^\/[\w.@%+=:,/-]*$/.test(path)) {
        throw failedPrecondition(
          `${JSON.stringify(path)} must be an absolute path of letters, digits and . _ @ % + = : , - only`,
        );
      }
    }
    this.#lxcPath = options.lxcPath.replace(/\/+$/, '');
    this.#logger = options.logger;
    this.#lxcStart = options.lxcStart ?? 'lxc-start';
    this.#init = options.init ?? defaultInit;
    this.#watch = new ExitWatch(options.logger);
  }

  async unavailableBecause(): Promise<string | undefined> {
    try {
      await this.#prepare();
      return undefined;
    } catch (error) {
      return messageOf(error);
    }
  }

  async start(spec: SandboxSpec, signal?: AbortSignal): Promise<Placement> {
    checkSandboxSpec(spec);
    const running = await this.inspect(spec);
    if (running !== undefined) return running;
    await this.remove(spec);
    signal?.throwIfAborted();
    const holder = await this.#prepare();
    const cgroups = await guestCgroups(spec);
    const logFile = `${spec.runDir}/lxc.log`;
    const permit = `${this.#directory(spec.id)}/permit`;
    const config = guestConfig(spec, cgroups, holder, { log: logFile, permit });
    try {
      await mkdir(this.#directory(spec.id), { mode: 0o700 });
      await rm(logFile, { force: true });
      await writeFileAtomic(`${this.#directory(spec.id)}/sandbox.json`, JSON.stringify(spec));
      await writeFile(`${this.#directory(spec.id)}/config`, config, { mode: 0o600 });
      await writeFile(permit, '', { mode: 0o600 });
      await prepareGuestCgroups(cgroups);
      await startGuest({
        lxcStart: this.#lxcStart,
        lxcPath: this.#lxcPath,
        logFile,
        cgroup: startCgroup(cgroups),
        alive: this.#alive(spec.id),
        spec,
        isRunning: async () => isPauseProcess(await initOf(cgroups)),
      });
      // Not interruptible: the monitor would go on starting.
      signal?.throwIfAborted();
      const init = await initOf(cgroups);
      await spareFromOomKiller([
        ...(init === undefined ? [] : [init]),
        ...(await cgroupProcesses(cgroups.liblxcDirectories)),
      ]);
      const placement = await this.inspect(spec);
      if (placement === undefined) throw new CriError(StatusCode.INTERNAL, "the pod's LXC container ended at once");
      return placement;
    } catch (error) {
      await this.remove(spec).catch((failure: unknown) => {
        this.#logger.warn('Cannot remove a guest that did not start', { sandbox: spec.id, error: messageOf(failure) });
      });
      throw error;
    }
  }

  async inspect(spec: SandboxSpec): Promise<Placement | undefined> {
    checkSandboxId(spec.id);
    const cgroups = await guestCgroups(spec);
    const pid = await initOf(cgroups);
    if (pid === undefined) return undefined;
    this.#watch.watch(spec.id, {
      connect: () => readAliveFifo(this.#alive(spec.id)),
      alive: async () => (await initOf(cgroups)) !== undefined,
    });
    const namespace = (name: string) => `/proc/${String(pid)}/ns/${name}`;
    return {
      namespaces: {
        ...(spec.network === 'pod' && { network: namespace('net'), uts: namespace('uts') }),
        ...(spec.ipc === 'pod' && { ipc: namespace('ipc') }),
        ...(spec.pid === 'pod' && { pid: namespace('pid') }),
        ...(spec.userNamespace !== undefined && { user: namespace('user') }),
      },
      cgroup: cgroups.pod,
      monitorCgroup: cgroups.monitor,
    };
  }

  async describe(spec: SandboxSpec): Promise<Record<string, unknown>> {
    const cgroups = await guestCgroups(spec);
    const pid = await initOf(cgroups);
    const [monitor] = await cgroupProcesses(cgroups.liblxcDirectories);
    return {
      provider: 'lxc',
      lxcPath: this.#lxcPath,
      lxcName: spec.id,
      running: pid !== undefined,
      ...(pid !== undefined && { pid }),
      // `nsenter --net=<this> lxc-info -P <lxcPath> -n <lxcName>`
      ...(monitor !== undefined && { lxcNetworkNamespace: `/proc/${String(monitor)}/ns/net` }),
      cgroup: cgroups.pod,
      monitorCgroup: cgroups.monitor,
    };
  }

  async stop(spec: SandboxSpec): Promise<void> {
    checkSandboxId(spec.id);
    this.#watch.forget(spec.id);
    const cgroups = await guestCgroups(spec);
    await killCgroup(cgroups.podDirectories);
    await endMonitor(this.#alive(spec.id), cgroups);
  }

  async remove(spec: SandboxSpec): Promise<void> {
    await this.stop(spec);
    const { podDirectories, monitorDirectories, liblxcDirectories } = await guestCgroups(spec);
    await killCgroup([...monitorDirectories, ...liblxcDirectories]);
    await removeCgroup([...podDirectories, ...monitorDirectories, ...liblxcDirectories]);
    await rm(this.#directory(spec.id), { recursive: true, force: true });
  }

  async discard(sandboxId: string): Promise<void> {
    checkSandboxId(sandboxId);
    const text = await readFile(`${this.#directory(sandboxId)}/sandbox.json`, 'utf8').catch((error: unknown) => {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    });
    // The file is written before liblxc is called, so without it there is nothing but the folder.
    if (text !== undefined) await this.remove(JSON.parse(text) as SandboxSpec);
    await rm(this.#directory(sandboxId), { recursive: true, force: true });
  }

  async list(): Promise<string[]> {
    const names = await readdir(this.#lxcPath).catch((error: unknown) => {
      if (isErrno(error, 'ENOENT')) return [];
      throw error;
    });
    return names.filter(isSandboxId);
  }

  onExit(listener: (sandboxId: string) => void): () => void {
    return this.#watch.onExit(listener);
  }

  #directory(id: string): string {
    return `${this.#lxcPath}/${id}`;
  }

  /** The FIFO that a guest's first process and its monitor hold open. */
  #alive(id: string): string {
    return `${this.#directory(id)}/alive`;
  }

  async #prepare(): Promise<Holder> {
    try {
      for (const program of [this.#lxcStart, 'unshare', 'setsid']) await this.#probe.answer(program, ['--version']);
    } catch (error) {
      throw unavailable(`${messageOf(error)}; are the Debian packages lxc and util-linux installed?`, error);
    }
    return this.#prepareHolder();
  }

  #prepareHolder(): Promise<Holder> {
    this.#holder ??= (async () => {
      await openFolder(this.#lxcPath);
      return prepareHolder(`${this.#lxcPath}/.holder`, this.#init);
    })().catch((error: unknown) => {
      this.#holder = undefined;
      throw error;
    });
    return this.#holder;
  }
}

/** Whether a guest's first process has come as far as its own program. */
async function isPauseProcess(pid: number | undefined): Promise<boolean> {
  if (pid === undefined) return false;
  return (await readFile(`/proc/${String(pid)}/comm`, 'utf8').catch(() => '')) === 'init\n';
}

function initOf(cgroups: GuestCgroups): Promise<number | undefined> {
  return findNamespaceInit(cgroups.podDirectories.map((directory) => `${directory}/${innerCgroup}`));
}
