import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { CriError, StatusCode } from '../../core/model/errors.ts';
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
import { createCgroup } from '../../host/cgroup/create.ts';
import { cgroupHierarchies } from '../../host/cgroup/hierarchies.ts';
import { findNamespaceInit } from '../../host/cgroup/namespace-init.ts';
import { cgroupDirectories } from '../../host/cgroup/path.ts';
import { killCgroup } from '../../host/cgroup/processes.ts';
import { removeCgroup } from '../../host/cgroup/remove.ts';
import { replaceFile } from '../../utils/fs/atomic.ts';
import { ProgramProbe } from '../../host/processes/program-probe.ts';
import { isPin } from '../../host/mounts/namespace-pin.ts';
import { spareFromOomKiller } from '../../host/processes/oom-score.ts';
import { defaultInit, openDirectory, preparePauseRootfs, preparePauseProgram } from '../pause-rootfs.ts';
import { checkSandboxId, checkSandboxSpec, isSandboxId, missingDirectory, sandboxCgroups } from '../sandbox-spec.ts';
import { sandboxUsage } from '../sandbox-usage.ts';
import { SandboxWatch } from '../sandbox-watch.ts';
import { PauseProcesses } from './pause-processes.ts';
import { namespacesPinned, pinNamespaces, pinsOf, unpinNamespaces } from './pinned-namespaces.ts';
import { together } from '../../utils/async/together.ts';
import { namesIn } from '../../utils/fs/names.ts';

export interface CrunSandboxProviderOptions {
  /** Directory of this provider's sandboxes, such as `<state>/crun`; created when missing, mode 0711. */
  statePath: string;
  /** Directory of the pause program, on a filesystem without noexec; created when missing. */
  programs: string;
  logger: Logger;
  /** The OCI runtime that runs the pause processes of shared PID namespaces, by default `crun` on PATH. */
  ociRuntime?: string;
  /** A statically linked init with a pause mode `-P`; by default Debian's catatonit. */
  init?: string;
}

/** The name, below the pod's cgroup, of the pause process's own. */
const pauseCgroup = 'holder';

/**
 * The handler `crun`: a pod is a set of namespaces pinned by bind mounts and a cgroup. Only a shared PID namespace
 * needs a pause process; without one no part of the sandbox can end by itself.
 */
export class CrunSandboxProvider implements SandboxProvider {
  readonly handler = 'crun';
  readonly features: HandlerFeatures = { recursiveReadOnlyMounts: true, userNamespaces: true };
  readonly joinsNetworks = true;
  readonly #statePath: string;
  readonly #runtime: string;
  readonly #init: string;
  readonly #programs: string;
  readonly #probe = new ProgramProbe();
  readonly #pauseProcesses: PauseProcesses;
  readonly #watch: SandboxWatch;

  constructor(options: CrunSandboxProviderOptions) {
    this.#statePath = options.statePath;
    this.#runtime = options.ociRuntime ?? 'crun';
    this.#init = options.init ?? defaultInit;
    this.#programs = options.programs;
    this.#pauseProcesses = new PauseProcesses(this.#runtime, `${this.#statePath}/.holder/runtime`);
    this.#watch = new SandboxWatch(options.logger);
  }

  async unavailableBecause(): Promise<string | undefined> {
    try {
      await this.#probe.answer(this.#runtime, ['--version']);
      await preparePauseProgram(this.#programs, this.#init);
      await preparePauseRootfs(this.#rootfs);
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
    const directory = `${this.#statePath}/${spec.id}`;
    const sandbox = { spec, handle: { directory } };
    await progress(sandbox.handle);
    if ((await this.adopt(sandbox)).state === 'running') return sandbox;
    await this.remove(sandbox);
    signal?.throwIfAborted();
    await openDirectory(this.#statePath);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    replaceFile(`${directory}/sandbox.json`, JSON.stringify(spec));
    return sandbox;
  }

  async start(sandbox: SandboxReference, signal?: AbortSignal): Promise<Placement> {
    const earlier = await this.adopt(sandbox);
    if (earlier.state === 'running') return earlier.placement;
    const { spec } = sandbox;
    await unpinNamespaces(spec);
    const { pod, monitor } = sandboxCgroups(spec);
    await together([pinNamespaces(spec, signal), createCgroup(pod), createCgroup(monitor)]);
    if (spec.pid === 'pod') await this.#startPauseProcess(sandbox, signal);
    signal?.throwIfAborted();
    writeFileSync(readyMark(spec), '');
    const status = await this.adopt(sandbox);
    if (status.state === 'running') return status.placement;
    throw new CriError(StatusCode.INTERNAL, `the pod exited immediately: ${status.reason}`);
  }

  async adopt(sandbox: SandboxReference): Promise<SandboxStatus> {
    const { spec } = sandbox;
    checkSandboxId(spec.id);
    const placement = await placementOf(spec);
    if (placement === undefined) {
      const networkNamespace = await networkOf(spec);
      const reason = (await missingDirectory(spec)) ?? 'its namespaces do not exist';
      return { state: 'ended', reason, ...(networkNamespace !== undefined && { networkNamespace }) };
    }
    // Without a process no part of it can end by itself.
    const pause = {
      connect: () => this.#pauseProcesses.connect(this.#directory(sandbox)),
      alive: async () => (await pauseProcessOf(spec)) !== undefined,
    };
    this.#watch.follow(spec, placement, spec.pid === 'pod' ? pause : undefined);
    return { state: 'running', placement };
  }

  status({ spec }: SandboxReference): SandboxStatus {
    return this.#watch.status(spec.id);
  }

  async describe({ spec }: SandboxReference): Promise<Record<string, unknown>> {
    const placement = await placementOf(spec);
    const { pod, monitor } = sandboxCgroups(spec);
    // Pods without a PID namespace of their own have no process.
    const pid = await pauseProcessOf(spec);
    return {
      provider: 'crun',
      running: placement !== undefined,
      ...(pid !== undefined && { pid }),
      ...(placement !== undefined && { namespaces: placement.namespaces }),
      cgroup: pod,
      monitorCgroup: monitor,
    };
  }

  usage(sandbox: SandboxReference): Promise<SandboxUsage> {
    return sandboxUsage(sandbox.spec, this.status(sandbox));
  }

  /** No effect: the pod's cgroup is below the kubelet's, which has the limits. */
  update(): Promise<void> {
    return Promise.resolve();
  }

  async end({ spec }: SandboxReference): Promise<void> {
    const file = pinsOf(spec).get('net');
    if (file !== undefined && isPin(file)) await this.#end(spec);
  }

  async #end(spec: SandboxSpec): Promise<void> {
    checkSandboxId(spec.id);
    this.#watch.forget(spec.id);
    rmSync(readyMark(spec), { force: true });
    await killCgroup(cgroupDirectories(sandboxCgroups(spec).pod, await cgroupHierarchies()));
  }

  async stop(sandbox: SandboxReference): Promise<void> {
    await this.#end(sandbox.spec);
    await unpinNamespaces(sandbox.spec);
  }

  async remove(sandbox: SandboxReference): Promise<void> {
    const { spec } = sandbox;
    await this.stop(sandbox);
    await this.#pauseProcesses.remove(spec.id);
    const hierarchies = await cgroupHierarchies();
    const { pod, monitor } = sandboxCgroups(spec);
    await killCgroup(cgroupDirectories(monitor, hierarchies));
    await removeCgroup([pod, monitor].flatMap((path) => cgroupDirectories(path, hierarchies)));
    await rm(this.#directory(sandbox), { recursive: true, force: true });
  }

  async discard(sandboxId: string): Promise<void> {
    checkSandboxId(sandboxId);
    const directory = `${this.#statePath}/${sandboxId}`;
    const text = await readFile(`${directory}/sandbox.json`, 'utf8').catch((error: unknown) => {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    });
    // The file is written before anything else is created, so without it there is only the directory.
    if (text !== undefined) await this.remove({ spec: JSON.parse(text) as SandboxSpec });
    await rm(directory, { recursive: true, force: true });
  }

  async list(): Promise<string[]> {
    return (await namesIn(this.#statePath)).filter(isSandboxId);
  }

  onExit(listener: (sandboxId: string, reason: string) => void): () => void {
    return this.#watch.onExit(listener);
  }

  async #startPauseProcess(sandbox: SandboxReference, signal: AbortSignal | undefined): Promise<void> {
    const { spec } = sandbox;
    await openDirectory(`${this.#statePath}/.holder`);
    await preparePauseRootfs(this.#rootfs);
    const bundle = {
      rootfs: this.#rootfs,
      init: await preparePauseProgram(this.#programs, this.#init),
      cgroup: `${sandboxCgroups(spec).pod}/${pauseCgroup}`,
      namespaces: joinable(spec),
      ids: spec.userNamespace,
    };
    await this.#pauseProcesses.start(spec.id, this.#directory(sandbox), bundle, signal);
    const pause = await pauseProcessOf(spec);
    if (pause !== undefined) await spareFromOomKiller([pause]);
  }

  get #rootfs(): string {
    return `${this.#statePath}/.holder/rootfs`;
  }

  /** The paths of a sandbox's files, which never change. */
  #directory({ spec, handle }: SandboxReference): string {
    const directory = handle?.['directory'];
    return typeof directory === 'string' ? directory : `${this.#statePath}/${spec.id}`;
  }
}

/** The placement of a sandbox's containers; undefined unless all of it exists. */
async function placementOf(spec: SandboxSpec): Promise<Placement | undefined> {
  if (!existsSync(readyMark(spec)) || !namespacesPinned(spec)) return undefined;
  const { pod, monitor } = sandboxCgroups(spec);
  const placement: Placement = { namespaces: joinable(spec), cgroup: pod, monitorCgroup: monitor };
  if (spec.pid !== 'pod') return placement;
  const pid = await pauseProcessOf(spec);
  if (pid === undefined) return undefined;
  return { ...placement, namespaces: { ...placement.namespaces, pid: `/proc/${String(pid)}/ns/pid` } };
}

/** The path of a sandbox's own network namespace while it exists. */
async function networkOf(spec: SandboxSpec): Promise<string | undefined> {
  const file = pinsOf(spec).get('net');
  if (file === undefined || isPin(file)) return file;
  const pause = await pauseProcessOf(spec);
  return pause === undefined ? undefined : `/proc/${String(pause)}/ns/net`;
}

/** Written last and removed first: a sandbox without it is partly created or stopped. */
function readyMark(spec: SandboxSpec): string {
  return `${spec.runDir}/ns/ready`;
}

function joinable(spec: SandboxSpec): { network?: string; ipc?: string; uts?: string; user?: string } {
  const pins = pinsOf(spec);
  const [network, ipc, uts, user] = [pins.get('net'), pins.get('ipc'), pins.get('uts'), pins.get('user')];
  return {
    ...(network !== undefined && { network }),
    ...(ipc !== undefined && { ipc }),
    ...(uts !== undefined && { uts }),
    ...(user !== undefined && { user }),
  };
}

async function pauseProcessOf(spec: SandboxSpec): Promise<number | undefined> {
  if (spec.pid !== 'pod') return undefined;
  const cgroup = `${sandboxCgroups(spec).pod}/${pauseCgroup}`;
  return findNamespaceInit(cgroupDirectories(cgroup, await cgroupHierarchies()));
}
