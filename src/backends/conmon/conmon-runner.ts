import { mkdirSync, readdirSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../core/model/clock.ts';
import type {
  ContainerExit,
  ContainerRunner,
  ContainerStreams,
  CreateContainerSpec,
  ExecOptions,
  ExecResult,
  RunnerState,
} from '../../core/model/container-runner.ts';
import type { ResourceUsage } from '../../core/model/resource-usage.ts';
import type { ProcessDetails, UsageDetails } from '../../core/model/usage-details.ts';
import { failedPrecondition, invalidArgument, notFound, unavailable } from '../../core/model/errors.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import type { OciProcess, OciResources, OciSpec } from '../../core/model/oci-runtime.ts';
import type { Placement } from '../../core/model/sandbox-provider.ts';
import { ProgramProbe } from '../../host/processes/program-probe.ts';
import { Rollback } from '../../utils/async/rollback.ts';
import { attachToMonitor } from './streams/attach.ts';
import { readUsage } from '../../host/cgroup/usage.ts';
import { readUsageDetails } from '../../host/cgroup/usage-details.ts';
import { cgroupProcesses, killCgroup } from '../../host/cgroup/processes.ts';
import { containerCgroups } from './container-cgroups.ts';
import { describeState, firstProcess, readOom, readState } from './container-state.ts';
import { followSizes } from './monitor/control.ts';
import { createContainer } from './create.ts';
import { runExec } from './exec/exec.ts';
import { execSync } from './exec/exec-sync.ts';
import { ExitWatcher } from './exits/exit-watcher.ts';
import { RelayLimit } from './streams/relay-limit.ts';
import { monitorDirectory, trackingHierarchy } from './monitor/monitor-cgroup.ts';
import { forwardPort } from './streams/forward-port.ts';
import { exists } from '../../utils/fs/exists.ts';
import type { CgroupHierarchy } from '../../host/cgroup/hierarchies.ts';
import { reopenLog } from './monitor/log-reopen.ts';
import { parseOciJson } from './oci-json.ts';
import { mappedFiles } from './mapped-files.ts';
import { RunnerPaths, isContainerId } from './paths.ts';
import { Pauses } from './pauses.ts';
import { prepare, type Prepared } from './prepare.ts';
import { countOpenFiles } from '../../host/processes/open-files.ts';
import { isAlive, sendSignal } from '../../host/processes/process-table.ts';
import { readRecord } from './record.ts';
import type { RunnerRecord } from './record.ts';
import { callRuntime, parseVersion, runtimeError } from './runtime-command.ts';
import { startByFifo } from './start-fifo.ts';
import { endProcesses, removeTraces } from './teardown.ts';
import { namesIn } from '../../utils/fs/names.ts';

export interface ConmonRunnerOptions {
  /** Absolute, at most 80 bytes long; on a filesystem that a reboot empties. Made when missing. */
  stateDir: string;
  /** crun or runc: a name on PATH or a path. */
  ociRuntime: string;
  /** A name on PATH or a path. */
  conmon: string;
  /** Milliseconds that exec waits for output of descendants that keep the streams of an ended command open. */
  execDrainMs: number;
  /** Called once for each container that runs on without its monitor. */
  onMonitorLost?: () => void;
  logger: Logger;
  clock: Clock;
}

/** Each is a process of half a megabyte; a browser behind port-forward opens dozens of connections. */
const RELAYS_PER_POD = 128;

/**
 * Runs containers on this host: an OCI runtime below one conmon per container, which outlives this process. All state
 * is in `stateDir`, so a second runner on the same directory continues where the first was killed. Calls for one id
 * must not overlap; the caller has the lock.
 */
export class ConmonRunner implements ContainerRunner {
  readonly #options: ConmonRunnerOptions;
  readonly #paths: RunnerPaths;
  readonly #listeners = new Set<(exit: ContainerExit) => Promise<void>>();
  /** Ids whose exit was reported, or happened before there was a listener. */
  readonly #told = new Set<string>();
  /** Exit checks in progress, by id. */
  readonly #telling = new Map<string, Promise<void>>();
  /** Ids whose dead monitor was logged. */
  readonly #unmonitored = new Set<string>();
  readonly #relays = new RelayLimit(RELAYS_PER_POD);
  readonly #probe = new ProgramProbe();
  readonly #pauses: Pauses;
  #prepared: Promise<Prepared> | undefined;
  #watcher: ExitWatcher | undefined;

  constructor(options: ConmonRunnerOptions) {
    this.#options = options;
    this.#paths = new RunnerPaths(options.stateDir);
    this.#pauses = new Pauses(this.#paths);
  }

  async version(): Promise<{ name: string; version: string }> {
    const { runtime } = await this.#prepare();
    try {
      return parseVersion(await this.#probe.answer(runtime, ['--version']));
    } catch (error) {
      throw unavailable(`runtime.oci_runtime: ${messageOf(error)}`, error);
    }
  }

  async create(request: CreateContainerSpec, signal?: AbortSignal): Promise<void> {
    const { runtime, conmon, native, hierarchies } = await this.#prepare(request.id);
    const rollback = new Rollback();
    const remove = (id: string) => this.remove(id);
    try {
      const isCrun = basename(runtime) === 'crun' && (await this.version()).name === 'crun';
      const tools = { paths: this.#paths, hierarchies, runtime, conmon, native, isCrun, remove };
      await createContainer(tools, request, rollback, signal);
    } catch (error) {
      await rollback.run((what, failure) => {
        this.#options.logger.error('CreateContainer rollback step failed', {
          containerId: request.id,
          what,
          error: messageOf(failure),
        });
      });
      throw error;
    }
    // It may have been killed before the record was written.
    if (this.#watcher !== undefined && (await exists(this.#paths.exit(request.id)))) await this.#tell(request.id);
  }

  async start(id: string): Promise<void> {
    const { runtime } = await this.#prepare(id);
    const hooks = readRecord(this.#paths.record(id))?.hooks;
    if (hooks?.includes('poststart') === false && startByFifo(this.#paths.startFifo(id))) return;
    try {
      await callRuntime(runtime, this.#paths.runtimeRoot, ['start', id]);
    } catch (error) {
      throw runtimeError(`cannot start container ${id}`, error);
    }
  }

  async signal(id: string, signal: number): Promise<void> {
    const { hierarchies } = await this.#prepare(id);
    const pid = await firstProcess(this.#paths, hierarchies, id);
    if (pid !== undefined) sendSignal(pid, signal);
  }

  async killAll(id: string): Promise<void> {
    const { hierarchies } = await this.#prepare(id);
    const cgroups = await containerCgroups(this.#paths, hierarchies, id);
    await killCgroup(cgroups.container);
    const record = readRecord(this.#paths.record(id));
    if (record !== undefined && this.#watcher !== undefined && !isAlive(record.monitor)) await this.#tell(id);
  }

  async pause(id: string): Promise<void> {
    const { hierarchies } = await this.#prepare(id);
    await this.#pauses.pause(id, hierarchies);
  }

  async resume(id: string): Promise<boolean> {
    const { hierarchies } = await this.#prepare(id);
    return this.#pauses.resume(id, hierarchies);
  }

  async mappedFiles(id: string): Promise<string[]> {
    const [{ hierarchies }, spec] = [await this.#prepare(id), await this.spec(id)];
    const { container } = await containerCgroups(this.#paths, hierarchies, id);
    return spec === undefined ? [] : mappedFiles(spec.root.path, container);
  }

  async inspect(id: string): Promise<RunnerState> {
    const { hierarchies } = await this.#prepare(id);
    return readState(this.#paths, hierarchies, id);
  }

  async pidNamespace(id: string): Promise<string | undefined> {
    const state = await this.inspect(id);
    return state.status === 'running' ? `/proc/${String(state.pid)}/ns/pid` : undefined;
  }

  async spec(id: string): Promise<OciSpec | undefined> {
    await this.#prepare(id);
    try {
      return parseOciJson(await readFile(this.#paths.config(id), 'utf8')) as OciSpec;
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw error;
    }
  }

  async exec(id: string, process: OciProcess, options: ExecOptions): Promise<ExecResult> {
    if (process.terminal) throw invalidArgument('process.terminal', 'must be false: the output of exec is two pipes');
    return this.#pauses.run(id, true, async () => execSync({ ...(await this.#execIn(id)), process }, options));
  }

  async execStream(id: string, process: OciProcess, io: ContainerStreams, signal: AbortSignal): Promise<number> {
    return this.#pauses.run(id, io.stdin === undefined, async () => {
      const exec = { ...(await this.#execIn(id)), process, io, signal, follow: true };
      return process.terminal ? this.#relays.run(exec.pod, () => runExec(exec)) : runExec(exec);
    });
  }

  async attach(id: string, io: ContainerStreams, signal: AbortSignal): Promise<void> {
    const { directory, pod } = await this.#execIn(id);
    void followSizes(this.#paths.control(id), io.resizes);
    const { inputOnce = false } = await this.#record(id);
    await this.#relays.run(pod, () => attachToMonitor(directory, { inputOnce }, io, signal));
    // conmon disconnects its clients when the container ends, shortly before the kernel does.
    for (let tries = 0; tries < 20; tries++) {
      if ((await this.inspect(id)).status !== 'running') return;
      await sleep(100);
    }
    throw unavailable('conmon closed the attach connection while the container is running');
  }

  async forwardPort(placement: Placement, port: number, io: ContainerStreams, signal: AbortSignal): Promise<void> {
    await this.#relays.run(placement.cgroup, () => forwardPort(placement, port, io, signal));
  }

  async reopenLog(id: string): Promise<void> {
    const record = await this.#record(id);
    if (record.logPath === undefined) return;
    await reopenLog(this.#paths.control(id), record.logPath, record.monitor);
  }

  async update(id: string, resources: OciResources): Promise<void> {
    const { runtime } = await this.#prepare(id);
    await this.#record(id);
    const file = join(this.#paths.bundle(id), `resources-${randomUUID()}.json`);
    try {
      await writeFile(file, JSON.stringify(resources), { mode: 0o600, flag: 'wx' });
      await callRuntime(runtime, this.#paths.runtimeRoot, ['update', '--resources', file, id]);
    } catch (error) {
      throw runtimeError(`cannot update container ${id}`, error);
    } finally {
      await rm(file, { force: true });
    }
  }

  async usage(id: string): Promise<ResourceUsage | undefined> {
    const { hierarchies } = await this.#prepare(id);
    const record = readRecord(this.#paths.record(id));
    return record && readUsage(hierarchies, record.cgroup, this.#options.clock.now());
  }

  async usageDetails(id: string): Promise<UsageDetails | undefined> {
    const { hierarchies } = await this.#prepare(id);
    const record = readRecord(this.#paths.record(id));
    return record && readUsageDetails(hierarchies, record.cgroup, this.#options.clock.now());
  }

  async processDetails(id: string): Promise<ProcessDetails | undefined> {
    const { hierarchies } = await this.#prepare(id);
    const record = readRecord(this.#paths.record(id));
    if (record === undefined) return undefined;
    // Its processes are in the same cgroup of every hierarchy.
    const pids = cgroupProcesses([`${trackingHierarchy(hierarchies).mountPoint}${record.cgroup}`]);
    if (pids.length === 0) return undefined;
    const { pid } = record.container;
    return countOpenFiles(pids, pids.includes(pid) ? pid : undefined);
  }

  async remove(id: string): Promise<void> {
    const { hierarchies, runtime } = await this.#prepare(id);
    await endProcesses(this.#paths, hierarchies, id);
    if (this.#watcher !== undefined) await this.#tell(id);
    await removeTraces(this.#paths, hierarchies, runtime, id, this.#options.logger);
    this.#told.delete(id);
    this.#unmonitored.delete(id);
  }

  async list(): Promise<string[]> {
    const { containers, exits, runtimeRoot } = this.#paths;
    const names = await Promise.all([containers, exits, runtimeRoot].map((directory) => namesIn(directory)));
    return [...new Set(names.flat().filter((name) => isContainerId(name)))].sort();
  }

  onExit(listener: (exit: ContainerExit) => unknown): () => void {
    this.#watcher ??= this.#watch();
    // Wrapped, so that the same function given twice is two subscriptions.
    const subscription = async (exit: ContainerExit) => {
      await listener(exit);
    };
    this.#listeners.add(subscription);
    return () => {
      this.#listeners.delete(subscription);
    };
  }

  /** Stops watching for exits, permanently; containers keep running. */
  close(): void {
    this.#listeners.clear();
    this.#watcher?.close();
  }

  #watch(): ExitWatcher {
    const directory = this.#paths.exits;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const watcher = new ExitWatcher({
      directory,
      appeared: (id) => this.#tell(id),
      scan: () => this.#scan(),
      logger: this.#options.logger,
    });
    for (const id of readdirSync(directory)) this.#told.add(id);
    return watcher;
  }

  async #scan(): Promise<void> {
    for (const id of await this.list()) {
      if (!this.#told.has(id)) await this.#tell(id);
    }
  }

  /** Reports an exit to the listeners once. Concurrent calls for one id share one check. */
  #tell(id: string): Promise<void> {
    const current = this.#telling.get(id) ?? this.#tellOnce(id).finally(() => this.#telling.delete(id));
    this.#telling.set(id, current);
    return current;
  }

  async #tellOnce(id: string): Promise<void> {
    if (this.#told.has(id)) return;
    const exit = await this.#exitOf(id);
    if (exit === undefined) return;
    this.#told.add(id);
    for (const listener of this.#listeners) {
      // Not awaited: a listener may wait for the caller. A failed listener is called again by the next scan.
      listener(exit).catch((error: unknown) => {
        this.#told.delete(id);
        this.#options.logger.error('Exit listener failed; it is called again', {
          containerId: id,
          error: messageOf(error),
        });
      });
    }
  }

  async #exitOf(id: string): Promise<ContainerExit | undefined> {
    const { hierarchies } = await this.#prepare(id);
    const record = readRecord(this.#paths.record(id));
    // Read before the state: a dead monitor has reported the exit before, and the state includes it.
    const monitored = record === undefined || isAlive(record.monitor);
    const state = await readState(this.#paths, hierarchies, id);
    if (state.status === 'absent') return undefined;
    if (state.status === 'stopped') return state.exit ?? this.#lostExit(id, record, hierarchies);
    if (!monitored && !this.#unmonitored.has(id)) {
      this.#unmonitored.add(id);
      this.#options.onMonitorLost?.();
      this.#options.logger.warn('Container monitor was killed; output and exit code are lost', {
        containerId: id,
      });
    }
    return undefined;
  }

  /** What listeners receive for a container whose monitor died first: the exit code is unknown. */
  async #lostExit(
    id: string,
    record: RunnerRecord | undefined,
    hierarchies: readonly CgroupHierarchy[],
  ): Promise<ContainerExit> {
    const oomKilled = await readOom(this.#paths, hierarchies, id, record?.cgroup);
    return { id, exitCode: 255, finishedAt: this.#options.clock.now(), oomKilled };
  }

  /** What every exec requires. @throws CriError FAILED_PRECONDITION when the container does not run. */
  async #execIn(id: string) {
    const { runtime, hierarchies } = await this.#prepare(id);
    const state = await this.inspect(id);
    if (state.status !== 'running') throw failedPrecondition(`container ${id} is not running: ${describeState(state)}`);
    const { runtimeRoot } = this.#paths;
    const { cgroup, monitorCgroup } = await this.#record(id);
    const monitors = monitorCgroup && `${monitorDirectory(hierarchies, monitorCgroup, id)}/cgroup.procs`;
    const directory = this.#paths.bundle(id);
    return { runtime, runtimeRoot, id, monitors, directory, pod: dirname(cgroup), drainMs: this.#options.execDrainMs };
  }

  async #record(id: string): Promise<RunnerRecord> {
    await this.#prepare(id);
    const record = readRecord(this.#paths.record(id));
    if (record === undefined) throw notFound('container', id);
    return record;
  }

  /**
   * Directories, programs and hierarchies, looked up once. Every id that reaches a path or an argument is validated
   * here.
   */
  #prepare(id?: string): Promise<Prepared> {
    if (id !== undefined && !isContainerId(id)) return Promise.reject(notFound('container', id));
    this.#prepared ??= prepare(this.#options, this.#paths).catch((error: unknown) => {
      this.#prepared = undefined;
      throw error;
    });
    return this.#prepared;
  }
}
