import { access, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import type { HandlerFeatures, Placement, SandboxProvider, SandboxSpec } from '../../core/model/sandbox-provider.ts';
import { createCgroup } from '../../host/cgroup/create.ts';
import { cgroupHierarchies } from '../../host/cgroup/hierarchies.ts';
import { findNamespaceInit } from '../../host/cgroup/namespace-init.ts';
import { cgroupDirectories } from '../../host/cgroup/path.ts';
import { killCgroup } from '../../host/cgroup/processes.ts';
import { removeCgroup } from '../../host/cgroup/remove.ts';
import { writeFileAtomic } from '../../utils/fs/atomic.ts';
import { ProgramProbe } from '../../host/processes/program-probe.ts';
import { ExitWatch } from '../exit-watch.ts';
import { spareFromOomKiller } from '../../host/processes/oom-score.ts';
import { defaultInit, openFolder, pauseProgram, prepareHolderRootfs } from '../holder-rootfs.ts';
import { checkSandboxId, checkSandboxSpec, isSandboxId, sandboxCgroups } from '../sandbox-spec.ts';
import { PidHolders } from './pid-holder.ts';
import { namespacesPinned, pinNamespaces, pinsOf, unpinNamespaces } from './pinned-namespaces.ts';

export interface CrunSandboxProviderOptions {
  /** Where this provider notes which sandboxes it has made, such as `<state>/crun`; made when missing, mode 0711. */
  statePath: string;
  logger: Logger;
  /** The OCI runtime that runs the holders of shared PID namespaces, by default `crun` on PATH. */
  ociRuntime?: string;
  /** A statically linked init with a pause mode `-P`; by default Debian's catatonit. */
  init?: string;
}

/** The name, below the pod's cgroup, of the PID namespace holder's own. */
const holderCgroup = 'holder';

/**
 * The handler `crun`: a pod is a set of namespaces pinned by bind mounts and a cgroup. Only a shared PID namespace needs
 * a process to hold it; without one nothing of the sandbox can end by itself.
 */
export class CrunSandboxProvider implements SandboxProvider {
  readonly handler = 'crun';
  readonly features: HandlerFeatures = { recursiveReadOnlyMounts: true, userNamespaces: true };
  readonly #statePath: string;
  readonly #logger: Logger;
  readonly #runtime: string;
  readonly #init: string;
  readonly #probe = new ProgramProbe();
  readonly #holders: PidHolders;
  readonly #watch: ExitWatch;

  constructor(options: CrunSandboxProviderOptions) {
    this.#statePath = options.statePath;
    this.#logger = options.logger;
    this.#runtime = options.ociRuntime ?? 'crun';
    this.#init = options.init ?? defaultInit;
    this.#holders = new PidHolders(this.#runtime, `${this.#statePath}/.holder/runtime`);
    this.#watch = new ExitWatch(options.logger);
  }

  async unavailableBecause(): Promise<string | undefined> {
    try {
      await this.#probe.answer(this.#runtime, ['--version']);
      await prepareHolderRootfs(this.#rootfs, this.#init);
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
    try {
      await openFolder(this.#statePath);
      await mkdir(this.#directory(spec.id), { recursive: true, mode: 0o700 });
      await writeFileAtomic(`${this.#directory(spec.id)}/sandbox.json`, JSON.stringify(spec));
      const { pod, monitor } = sandboxCgroups(spec);
      await createCgroup(pod);
      await createCgroup(monitor);
      await pinNamespaces(spec);
      signal?.throwIfAborted();
      if (spec.pid === 'pod') await this.#startHolder(spec);
      signal?.throwIfAborted();
      await writeFile(readyMark(spec), '');
      const placement = await this.inspect(spec);
      if (placement === undefined) throw new CriError(StatusCode.INTERNAL, "the pod's namespaces were gone at once");
      return placement;
    } catch (error) {
      await this.remove(spec).catch((failure: unknown) => {
        this.#logger.warn('Cannot remove a sandbox that did not start', {
          sandbox: spec.id,
          error: messageOf(failure),
        });
      });
      throw error;
    }
  }

  async inspect(spec: SandboxSpec): Promise<Placement | undefined> {
    checkSandboxId(spec.id);
    if (!(await exists(readyMark(spec))) || !(await namespacesPinned(spec))) return undefined;
    const { pod, monitor } = sandboxCgroups(spec);
    const placement: Placement = { namespaces: joinable(spec), cgroup: pod, monitorCgroup: monitor };
    if (spec.pid !== 'pod') return placement;
    const pid = await holderOf(spec);
    if (pid === undefined) return undefined;
    this.#watch.watch(spec.id, {
      connect: () => this.#holders.connect(this.#directory(spec.id)),
      alive: async () => (await holderOf(spec)) !== undefined,
    });
    return { ...placement, namespaces: { ...placement.namespaces, pid: `/proc/${String(pid)}/ns/pid` } };
  }

  async describe(spec: SandboxSpec): Promise<Record<string, unknown>> {
    const placement = await this.inspect(spec);
    const { pod, monitor } = sandboxCgroups(spec);
    return {
      provider: 'crun',
      running: placement !== undefined,
      ...(placement !== undefined && { namespaces: placement.namespaces }),
      cgroup: pod,
      monitorCgroup: monitor,
    };
  }

  async stop(spec: SandboxSpec): Promise<void> {
    checkSandboxId(spec.id);
    this.#watch.forget(spec.id);
    await rm(readyMark(spec), { force: true });
    await killCgroup(cgroupDirectories(sandboxCgroups(spec).pod, await cgroupHierarchies()));
    await unpinNamespaces(spec);
  }

  async remove(spec: SandboxSpec): Promise<void> {
    await this.stop(spec);
    await this.#holders.remove(spec.id);
    const hierarchies = await cgroupHierarchies();
    const { pod, monitor } = sandboxCgroups(spec);
    await killCgroup(cgroupDirectories(monitor, hierarchies));
    await removeCgroup([pod, monitor].flatMap((path) => cgroupDirectories(path, hierarchies)));
    await rm(this.#directory(spec.id), { recursive: true, force: true });
  }

  async discard(sandboxId: string): Promise<void> {
    checkSandboxId(sandboxId);
    const text = await readFile(`${this.#directory(sandboxId)}/sandbox.json`, 'utf8').catch((error: unknown) => {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    });
    // The file is written before anything else is made, so without it there is nothing but the folder.
    if (text !== undefined) await this.remove(JSON.parse(text) as SandboxSpec);
    await rm(this.#directory(sandboxId), { recursive: true, force: true });
  }

  async list(): Promise<string[]> {
    const names = await readdir(this.#statePath).catch((error: unknown) => {
      if (isErrno(error, 'ENOENT')) return [];
      throw error;
    });
    return names.filter(isSandboxId);
  }

  onExit(listener: (sandboxId: string) => void): () => void {
    return this.#watch.onExit(listener);
  }

  async #startHolder(spec: SandboxSpec): Promise<void> {
    await openFolder(`${this.#statePath}/.holder`);
    await prepareHolderRootfs(this.#rootfs, this.#init);
    const bundle = {
      rootfs: this.#rootfs,
      init: pauseProgram(this.#rootfs),
      cgroup: `${sandboxCgroups(spec).pod}/${holderCgroup}`,
      namespaces: joinable(spec),
      ids: spec.userNamespace,
    };
    await this.#holders.start(spec.id, this.#directory(spec.id), bundle);
    const holder = await holderOf(spec);
    if (holder !== undefined) await spareFromOomKiller([holder]);
  }

  get #rootfs(): string {
    return `${this.#statePath}/.holder/rootfs`;
  }

  #directory(id: string): string {
    return `${this.#statePath}/${id}`;
  }
}

/** Written last and removed first: a sandbox without it is half made or stopped. */
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

async function holderOf(spec: SandboxSpec): Promise<number | undefined> {
  const holder = `${sandboxCgroups(spec).pod}/${holderCgroup}`;
  return findNamespaceInit(cgroupDirectories(holder, await cgroupHierarchies()));
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
