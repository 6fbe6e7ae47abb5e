import { rmSync, writeFileSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CriError, StatusCode, failedPrecondition, unavailable } from '../../core/model/errors.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import type { SandboxUsage } from '../../core/model/resource-usage.ts';
import type {
  HandlerFeatures,
  Placement,
  SandboxHandle,
  SandboxProvider,
  SandboxReference,
  SandboxSpec,
  SandboxStatus,
} from '../../core/model/sandbox-provider.ts';
import { findNamespaceInit } from '../../host/cgroup/namespace-init.ts';
import { cgroupProcesses, killCgroup } from '../../host/cgroup/processes.ts';
import { destroyCgroup } from '../../host/cgroup/remove.ts';
import { replaceFile } from '../../utils/fs/atomic.ts';
import { ProgramProbe } from '../../host/processes/program-probe.ts';
import { readAliveFifo } from '../alive-fifo.ts';
import { isPin, pin, unpin } from '../../host/mounts/namespace-pin.ts';
import { spareFromOomKiller } from '../../host/processes/oom-score.ts';
import { defaultInit, openDirectory } from '../pause-rootfs.ts';
import { heldNamespaces, networkPin } from '../sandbox-namespaces.ts';
import { checkSandboxId, checkSandboxSpec, isSandboxId, missingDirectory } from '../sandbox-spec.ts';
import { sandboxUsage } from '../sandbox-usage.ts';
import { SandboxWatch } from '../sandbox-watch.ts';
import { lxcCgroups, innerCgroup, prepareLxcCgroups, startCgroup } from './lxc-cgroups.ts';
import type { LxcCgroups } from './lxc-cgroups.ts';
import { podConfig } from './pod-config.ts';
import { PLAIN_PATH, isPlainPath } from '../lxc-config.ts';
import { preparePauseFiles } from './pause-files.ts';
import type { PauseFiles } from './pause-files.ts';
import { endMonitor } from './monitor-end.ts';
import { startLxc } from './start-lxc.ts';
import { namesIn } from '../../utils/fs/names.ts';

export interface LxcSandboxProviderOptions {
  /** liblxc's own directory (`-P`), such as `<state>/lxc`; created when missing, mode 0711. */
  lxcPath: string;
  /** Directory of the pause program, on a filesystem without noexec; created when missing. */
  programs: string;
  logger: Logger;
  /** The program lxc-start, by default the one on PATH. */
  lxcStart?: string;
  /** A statically linked init with a pause mode `-P`; by default Debian's catatonit. */
  init?: string;
}

/**
 * The handler `lxc`: a pod is one LXC container that owns the pod's namespaces and cgroup. `lxc-ls -P <lxcPath>` lists
 * it under the sandbox's id; `lxc-info` and `lxc-stop` reach it in its monitor's network namespace, see {@link
 * startLxc}, and stopping it with them ends the pod's containers too.
 */
export class LxcSandboxProvider implements SandboxProvider {
  readonly handler = 'lxc';
  readonly features: HandlerFeatures = { recursiveReadOnlyMounts: true, userNamespaces: true };
  readonly joinsNetworks = true;
  readonly #lxcPath: string;
  readonly #lxcStart: string;
  readonly #init: string;
  readonly #programs: string;
  readonly #probe = new ProgramProbe();
  readonly #watch: SandboxWatch;
  #pauseFiles: Promise<PauseFiles> | undefined;

  /** @throws CriError FAILED_PRECONDITION when `lxcPath` has characters that liblxc's hook lines cannot carry. */
  constructor(options: LxcSandboxProviderOptions) {
    for (const path of [options.lxcPath, options.programs, options.init ?? '/']) {
      if (!isPlainPath(path)) throw failedPrecondition(`${JSON.stringify(path)} ${PLAIN_PATH}`);
    }
    this.#lxcPath = options.lxcPath.replace(/\/+$/, '');
    this.#lxcStart = options.lxcStart ?? 'lxc-start';
    this.#init = options.init ?? defaultInit;
    this.#programs = options.programs;
    this.#watch = new SandboxWatch(options.logger);
  }

  async unavailableBecause(): Promise<string | undefined> {
    try {
      await this.#prepare();
      return undefined;
    } catch (error) {
      return messageOf(error);
    }
  }

  async create(
    spec: SandboxSpec,
    progress: (handle: SandboxHandle) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<SandboxReference> {
    checkSandboxSpec(spec);
    const directory = `${this.#lxcPath}/${spec.id}`;
    const sandbox = { spec, handle: { directory } };
    await progress(sandbox.handle);
    if ((await this.adopt(sandbox)).state === 'running') return sandbox;
    await this.remove(sandbox);
    signal?.throwIfAborted();
    const files = await this.#prepare();
    const cgroups = await lxcCgroups(spec);
    const config = podConfig(spec, cgroups, files, `${directory}/permit`);
    await mkdir(directory, { mode: 0o700 });
    replaceFile(`${directory}/sandbox.json`, JSON.stringify(spec));
    writeFileSync(`${directory}/config`, config, { mode: 0o600 });
    await prepareLxcCgroups(cgroups);
    return sandbox;
  }

  async start(sandbox: SandboxReference, signal?: AbortSignal): Promise<Placement> {
    const earlier = await this.adopt(sandbox);
    if (earlier.state === 'running') return earlier.placement;
    const { spec } = sandbox;
    const directory = this.#directory(sandbox);
    const cgroups = await lxcCgroups(spec);
    rmSync(logOf(spec), { force: true });
    writeFileSync(`${directory}/permit`, '', { mode: 0o600 });
    const start = {
      lxcStart: this.#lxcStart,
      lxcPath: dirname(directory),
      logFile: logOf(spec),
      cgroup: startCgroup(cgroups),
      alive: aliveOf(directory),
      spec,
      isRunning: async () => isPauseProcess(initOf(cgroups)),
    };
    await startLxc(start, signal).catch(async (error: unknown) => {
      // Before the LXC container is removed, so that its monitor starts nothing afterwards.
      await killCgroup(cgroups.liblxcDirectories);
      throw error;
    });
    const init = initOf(cgroups);
    if (init === undefined) throw new CriError(StatusCode.INTERNAL, "the pod's LXC container exited immediately");
    await spareFromOomKiller([init, ...cgroupProcesses(cgroups.liblxcDirectories)]);
    if (spec.network === 'pod') await pin(`/proc/${String(init)}/ns/net`, networkPin(spec));
    const status = await this.adopt(sandbox);
    if (status.state === 'running') return status.placement;
    throw new CriError(StatusCode.INTERNAL, `the pod's LXC container exited immediately: ${status.reason}`);
  }

  async adopt(sandbox: SandboxReference): Promise<SandboxStatus> {
    const { spec } = sandbox;
    checkSandboxId(spec.id);
    const cgroups = await lxcCgroups(spec);
    const pid = initOf(cgroups);
    const reason = pid === undefined ? 'its LXC container is not running' : await missingDirectory(spec);
    const namespaces = heldNamespaces(spec, pid);
    if (pid === undefined || reason !== undefined) {
      const { network: networkNamespace } = namespaces;
      return { state: 'ended', reason: reason ?? '', ...(networkNamespace !== undefined && { networkNamespace }) };
    }
    const placement = {
      namespaces,
      cgroup: cgroups.pod,
      monitorCgroup: cgroups.monitor,
    };
    this.#watch.follow(spec, placement, {
      connect: () => readAliveFifo(aliveOf(this.#directory(sandbox))),
      alive: () => Promise.resolve(initOf(cgroups) !== undefined),
    });
    return { state: 'running', placement };
  }

  status({ spec }: SandboxReference): SandboxStatus {
    return this.#watch.status(spec.id);
  }

  async describe(sandbox: SandboxReference): Promise<Record<string, unknown>> {
    const cgroups = await lxcCgroups(sandbox.spec);
    const pid = initOf(cgroups);
    const [monitor] = cgroupProcesses(cgroups.liblxcDirectories);
    return {
      provider: 'lxc',
      lxcPath: dirname(this.#directory(sandbox)),
      lxcName: sandbox.spec.id,
      running: pid !== undefined,
      ...(pid !== undefined && { pid }),
      // `nsenter --net=<this> lxc-info -P <lxcPath> -n <lxcName>`
      ...(monitor !== undefined && { lxcNetworkNamespace: `/proc/${String(monitor)}/ns/net` }),
      cgroup: cgroups.pod,
      monitorCgroup: cgroups.monitor,
    };
  }

  usage(sandbox: SandboxReference): Promise<SandboxUsage> {
    return sandboxUsage(sandbox.spec, this.status(sandbox));
  }

  /** No effect: the pod's cgroup is below the kubelet's, which has the limits. */
  update(): Promise<void> {
    return Promise.resolve();
  }

  async end(sandbox: SandboxReference): Promise<void> {
    if (isPin(networkPin(sandbox.spec))) await this.#end(sandbox);
  }

  async #end(sandbox: SandboxReference): Promise<void> {
    const { spec } = sandbox;
    checkSandboxId(spec.id);
    this.#watch.forget(spec.id);
    const cgroups = await lxcCgroups(spec);
    await killCgroup(cgroups.podDirectories);
    await endMonitor(aliveOf(this.#directory(sandbox)), cgroups);
  }

  async stop(sandbox: SandboxReference): Promise<void> {
    await this.#end(sandbox);
    await unpin(networkPin(sandbox.spec));
  }

  async remove(sandbox: SandboxReference): Promise<void> {
    await this.stop(sandbox);
    const { podDirectories, monitorDirectories, liblxcDirectories } = await lxcCgroups(sandbox.spec);
    // A monitor whose native helper died may enter only now.
    await destroyCgroup([...podDirectories, ...monitorDirectories, ...liblxcDirectories]);
    await rm(this.#directory(sandbox), { recursive: true, force: true });
  }

  async discard(sandboxId: string): Promise<void> {
    checkSandboxId(sandboxId);
    const directory = `${this.#lxcPath}/${sandboxId}`;
    const text = await readFile(`${directory}/sandbox.json`, 'utf8').catch((error: unknown) => {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    });
    // The file is written before liblxc is called, so without it there is only the directory.
    if (text !== undefined) await this.remove({ spec: JSON.parse(text) as SandboxSpec });
    await rm(directory, { recursive: true, force: true });
  }

  async list(): Promise<string[]> {
    return (await namesIn(this.#lxcPath)).filter(isSandboxId);
  }

  onExit(listener: (sandboxId: string, reason: string) => void): () => void {
    return this.#watch.onExit(listener);
  }

  /** liblxc's directory of an LXC container, which never changes. */
  #directory({ spec, handle }: SandboxReference): string {
    const directory = handle?.['directory'];
    return typeof directory === 'string' ? directory : `${this.#lxcPath}/${spec.id}`;
  }

  async #prepare(): Promise<PauseFiles> {
    try {
      await this.#probe.answer(this.#lxcStart, ['--version']);
    } catch (error) {
      throw unavailable(`${messageOf(error)}; are the Debian packages lxc and util-linux installed?`, error);
    }
    return this.#preparePauseFiles();
  }

  #preparePauseFiles(): Promise<PauseFiles> {
    this.#pauseFiles ??= (async () => {
      await openDirectory(this.#lxcPath);
      return preparePauseFiles(`${this.#lxcPath}/.holder`, this.#programs, this.#init);
    })().catch((error: unknown) => {
      this.#pauseFiles = undefined;
      throw error;
    });
    return this.#pauseFiles;
  }
}

/** The FIFO that a pause process and its monitor keep open. */
function aliveOf(directory: string): string {
  return `${directory}/alive`;
}

function logOf(spec: SandboxSpec): string {
  return `${spec.runDir}/lxc.log`;
}

/** Whether a pause process has started its own program. */
async function isPauseProcess(pid: number | undefined): Promise<boolean> {
  if (pid === undefined) return false;
  return (await readFile(`/proc/${String(pid)}/comm`, 'utf8').catch(() => '')) === 'init\n';
}

function initOf(cgroups: LxcCgroups): number | undefined {
  return findNamespaceInit(cgroups.podDirectories.map((directory) => `${directory}/${innerCgroup}`));
}
