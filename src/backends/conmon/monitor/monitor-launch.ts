import type { Step } from '../../../host/native/steps.ts';
import { programEnv } from '../../../host/processes/programs.ts';
import { requestPrograms } from '../../../host/processes/request-programs.ts';
import { parseSyncMessage } from './sync-message.ts';

/** Bytes kept of conmon's output, and of its line on the sync pipe. */
const WORDS_BYTES = 8192;
const LINE_BYTES = 65_536;
/** conmon's descriptor of the sync pipe, which stays open while conmon lives. */
const SYNC = 3;

export interface MonitorLaunch {
  conmon: string;
  args: string[];
  /** `cgroup.procs` files that conmon enters, in this order: it must never run in this server's cgroup. */
  cgroupFiles: string[];
  /** conmon's working directory, where it records an OOM kill. */
  bundle: string;
  /** Directory of conmon's short-lived console socket. */
  temporary: string;
  /** Milliseconds that the runtime may take. */
  timeoutMs: number;
}

/**
 * Starts conmon, which daemonizes, and waits until the runtime has created the container.
 * @returns the pid of the container's first process.
 * @throws Error with conmon's or the runtime's message, which may be empty. conmon may then still be exiting. CriError
 * UNAVAILABLE when there is no native helper.
 * @param signal ends the wait; the runtime may then still run, in the monitor's cgroup.
 */
export async function launchMonitor(launch: MonitorLaunch, signal?: AbortSignal): Promise<number> {
  const step: Step = {
    do: 'spawn',
    argv: [launch.conmon, ...launch.args],
    env: { ...programEnv, TMPDIR: launch.temporary, _OCI_SYNCPIPE: String(SYNC) },
    cwd: launch.bundle,
    // The step ends when conmon's first process, which has written the pid file, has exited and the line has arrived.
    descriptors: { 2: { kind: 'capture', limit: WORDS_BYTES }, [SYNC]: { kind: 'line', limit: LINE_BYTES } },
    cgroupFiles: launch.cgroupFiles,
    session: true,
    limitMs: launch.timeoutMs,
  };
  const [result] = await requestPrograms([step], signal);
  const output = (descriptor: number) => result?.outputs.get(descriptor)?.bytes.toString('utf8') ?? '';
  if (result?.status === 'timeout') throw new Error(`no answer within ${String(launch.timeoutMs)} ms`);
  const message = parseSyncMessage(output(SYNC));
  if ('pid' in message) return message.pid;
  throw new Error(message.error || output(2).trim() || (result?.problem ?? ''));
}
