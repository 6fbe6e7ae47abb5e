import { constants } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import type { SandboxSpec } from '../../core/model/sandbox-provider.ts';
import { cgroupHierarchies } from '../../host/cgroup/hierarchies.ts';
import { cgroupDirectories } from '../../host/cgroup/path.ts';
import type { Step } from '../../host/native/steps.ts';
import { requestPrograms } from '../../host/processes/request-programs.ts';
import { readAliveFifo } from '../alive-fifo.ts';
import { startErrors } from './start-errors.ts';

/** A start takes about 30 ms; liblxc's monitor waits forever when its pause process dies at a bad moment. */
const startTimeoutMs = 60_000;

/** How often a starting LXC container is inspected. */
const lookEveryMs = 10;

/** The values that a start needs. */
export interface LxcStart {
  lxcStart: string;
  lxcPath: string;
  logFile: string;
  /** The cgroup in which liblxc's monitor is until it enters its own. */
  cgroup: string;
  /** The FIFO, recreated, that the pause process and its monitor keep open. */
  alive: string;
  spec: Pick<SandboxSpec, 'id' | 'userNamespace'>;
  /** Whether its pause process runs its program. */
  isRunning: () => Promise<boolean>;
}

/**
 * Starts the LXC container whose configuration is at `<lxcPath>/<id>/config`; it runs when this returns, and liblxc's
 * monitor stays as a separate process. When it fails or `signal` fires, the monitor may still run, in `cgroup` or
 * beside it.
 * @throws CriError with the last errors of liblxc's log: INVALID_ARGUMENT for a kernel parameter that the kernel
 * refuses, INTERNAL otherwise; the signal's reason.
 */
export async function startLxc(start: LxcStart, signal?: AbortSignal): Promise<void> {
  const { lxcStart, lxcPath, logFile, cgroup, alive, spec, isRunning } = start;
  const args = ['--lxcpath', lxcPath, '--name', spec.id, '--foreground', '--close-all-fds'];
  // Not lxc.log.file in the configuration, which liblxc 6 ignores.
  args.push('--logfile', logFile, '--logpriority', 'WARN');
  // Where liblxc finds newuidmap it wants the range in root's lines of /etc/subuid; here the kubelet has chosen it, from
  // what is reserved for itself. Without PATH, liblxc writes uid_map with its own rights.
  const env = spec.userNamespace === undefined ? { PATH: process.env['PATH'] } : {};
  const fifo = { kind: 'open', path: alive, flags: constants.O_RDWR } as const;
  const cgroups = cgroupDirectories(cgroup, await cgroupHierarchies());
  const steps: Step[] = [
    { do: 'mkfifo', paths: [alive], mode: 0o600, replace: true },
    {
      do: 'spawn',
      argv: [lxcStart, ...args],
      env,
      cwd: '/',
      // Its own and the pause process's standard streams. It does not keep the FIFO of running commands open, because
      // its cgroup identifies it from the start.
      descriptors: { 0: fifo, 1: fifo, 2: fifo },
      cgroupFiles: cgroups.map((directory) => `${directory}/cgroup.procs`),
      // liblxc's monitor listens on an abstract socket, and whoever shares its network namespace may command it
      // (CVE-2020-15257 is of that kind).
      freshNetwork: true,
      session: true,
      detached: true,
      limitMs: startTimeoutMs,
    },
  ];
  const results = await requestPrograms(steps, signal);
  signal?.throwIfAborted();
  const failed = results.find(({ status }) => status !== 'done');
  if (failed !== undefined) {
    throw new CriError(StatusCode.INTERNAL, `cannot start the pod's LXC container: ${failed.problem || failed.status}`);
  }
  const said = await follow(alive, isRunning, signal);
  if (said === undefined) return;
  const words = startErrors(await readFile(logFile, 'utf8').catch(() => ''));
  throw new CriError(StatusCode.INTERNAL, `cannot start the pod's LXC container: ${words.join('; ') || said}`);
}

/** Waits until the LXC container runs, or returns the output of its monitor, which has exited. */
async function follow(
  alive: string,
  isRunning: () => Promise<boolean>,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const stream = await readAliveFifo(alive);
  let said = '';
  let ended = stream === undefined;
  stream?.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-500)));
  stream?.once('close', () => (ended = true));
  const deadline = performance.now() + startTimeoutMs;
  try {
    while (!ended) {
      await sleep(lookEveryMs);
      if (await isRunning()) return undefined;
      signal?.throwIfAborted();
      if (performance.now() > deadline) return `it did not start within ${String(startTimeoutMs / 1000)} s`;
    }
    return said.trim() || 'its monitor ended without a word';
  } finally {
    stream?.destroy();
  }
}
