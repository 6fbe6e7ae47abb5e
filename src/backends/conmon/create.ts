import { mkdir, rm, writeFile } from 'node:fs/promises';
import type { CreateContainerSpec } from '../../core/model/container-runner.ts';
import { CriError, StatusCode, unknown } from '../../core/model/errors.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import type { OciSpec } from '../../core/model/oci-runtime.ts';
import type { Rollback } from '../../utils/async/rollback.ts';
import { conmonArguments } from './monitor/conmon-arguments.ts';
import type { CgroupHierarchy } from '../../host/cgroup/hierarchies.ts';
import { isCgroupPath } from '../../host/cgroup/path.ts';
import { exists } from '../../utils/fs/exists.ts';
import { makeMonitorCgroup } from './monitor/monitor-cgroup.ts';
import { launchMonitor } from './monitor/monitor-launch.ts';
import { readPid } from './monitor/monitor-process.ts';
import { ociJson } from './oci-json.ts';
import type { RunnerPaths } from './paths.ts';
import { readProcess } from '../../host/processes/process-table.ts';
import { writeRecord } from './record.ts';
import { RUNTIME_LIMIT_MS, readRuntimeErrors } from './runtime-command.ts';

export interface CreateTools {
  paths: RunnerPaths;
  hierarchies: readonly CgroupHierarchy[];
  runtime: string;
  conmon: string;
  /** The native helper. */
  native: string;
  /** Whether the runtime is crun itself: a wrapper around it wants to be called. */
  isCrun: boolean;
  /** Removes everything of the container, as ContainerRunner.remove does. */
  remove: (id: string) => Promise<void>;
}

/**
 * Creates the bundle, starts conmon in the monitors' cgroup and records the result. The rollback is registered in
 * `rollback`.
 */
export async function createContainer(
  tools: CreateTools,
  request: CreateContainerSpec,
  rollback: Rollback,
  signal?: AbortSignal,
): Promise<void> {
  const { paths } = tools;
  const { id, spec, logPath, stdin, stdinOnce } = request;
  const cgroup = spec.linux.cgroupsPath;
  if (!isCgroupPath(cgroup) || !cgroup.startsWith(`${request.placement.cgroup}/`)) {
    const message = `linux.cgroupsPath ${JSON.stringify(cgroup)} must be below the sandbox's cgroup ${request.placement.cgroup}`;
    throw new CriError(StatusCode.INTERNAL, message);
  }
  const terminal = spec.process.terminal;
  // The end of a terminal's input would hang it up; with containerd, too, a terminal outlives its clients.
  const inputOnce = stdin && stdinOnce && !terminal;
  const args = conmonArguments(paths, {
    id,
    runtime: tools.runtime,
    native: tools.native,
    terminal,
    logPath,
    stdin,
    inputOnce,
  });

  await makeBundle(paths.bundle(id), id);
  rollback.add('the container', () => tools.remove(id));
  await writeFile(paths.config(id), ociJson(withoutRuntimeAnnotations(spec)), { mode: 0o600, flag: 'wx' });
  if (logPath !== undefined && !(await exists(logPath))) rollback.add('its log', () => rm(logPath, { force: true }));

  const { monitorCgroup } = request.placement;
  const hooks = tools.isCrun ? Object.keys(spec.hooks ?? {}) : undefined;
  const draft = { version: 1 as const, cgroup, monitorCgroup, logPath, inputOnce, hooks };
  writeRecord(paths.record(id), draft);
  const launch = {
    native: tools.native,
    conmon: tools.conmon,
    args,
    bundle: paths.bundle(id),
    temporary: paths.temporary,
  };
  const cgroupFiles = await makeMonitorCgroup(tools.hierarchies, monitorCgroup, id);
  let pid: number;
  try {
    pid = await launchMonitor({ ...launch, cgroupFiles, timeoutMs: RUNTIME_LIMIT_MS }, signal);
  } catch (error) {
    signal?.throwIfAborted();
    const words = (await readRuntimeErrors(paths.runtimeLog(id))) || messageOf(error);
    throw unknown(`cannot create container ${id}: ${words}`, error);
  }
  const monitorPid = await readPid(paths.monitorPid(id));
  if (monitorPid === undefined) throw unknown(`cannot create container ${id}: conmon wrote no pid file`);
  const [container, monitor] = [readProcess(pid), readProcess(monitorPid)];
  writeRecord(paths.record(id), {
    ...draft,
    container: { pid, startTime: container?.startTime ?? 0 },
    monitor: { pid: monitorPid, startTime: monitor?.startTime ?? 0 },
  });
}

/**
 * Annotations that configure crun come from a pod, which may not do that: `run.oci.*` runs handlers and keeps groups,
 * `org.systemd.property.*` sets properties of a systemd unit (crun(1)).
 */
function withoutRuntimeAnnotations(spec: OciSpec): OciSpec {
  if (spec.annotations === undefined) return spec;
  const kept = Object.entries(spec.annotations).filter(([key]) => !/^(run\.oci|org\.systemd\.property)\./.test(key));
  return { ...spec, annotations: Object.fromEntries(kept) };
}

async function makeBundle(path: string, id: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
    throw new CriError(StatusCode.ALREADY_EXISTS, `container ${id} exists; remove it first`, { cause: error });
  }
}
