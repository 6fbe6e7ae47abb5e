import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { messageOf } from '../../../utils/errors.ts';
import { programEnv } from '../../../host/processes/programs.ts';
import { parseSyncMessage } from './sync-message.ts';

export interface MonitorLaunch {
  /** Absolute path of the native helper. */
  native: string;
  conmon: string;
  args: string[];
  /** `cgroup.procs` files that conmon enters. */
  cgroupFiles: string[];
  /** conmon's working directory, where it notes an OOM kill. */
  bundle: string;
  /** Directory of conmon's short-lived console socket. */
  temporary: string;
  /** Milliseconds that the runtime may take. */
  timeoutMs: number;
}

/**
 * Starts conmon, which detaches itself, and waits until the runtime has created the container.
 * @returns the pid of the container's first process.
 * @throws Error with conmon's or the runtime's words, which may be empty. conmon may then still be ending.
 */
export async function launchMonitor(launch: MonitorLaunch): Promise<number> {
  // conmon must never run in this server's cgroup.
  const entry = launch.cgroupFiles.flatMap((file) => ['--cgroup', file]);
  const child = spawn(launch.native, ['enter', ...entry, launch.conmon, ...launch.args], {
    cwd: launch.bundle,
    env: { ...programEnv, TMPDIR: launch.temporary, _OCI_SYNCPIPE: '3' },
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const [, , stderr, sync] = child.stdio as unknown as [null, null, Readable, Readable]; // as `stdio` asks
  const timer = setTimeout(() => {
    sync.destroy(new Error(`no answer within ${String(launch.timeoutMs)} ms`));
  }, launch.timeoutMs);
  try {
    const ended = new Promise<void>((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', () => {
        resolve();
      });
    });
    // Both are awaited: the answer may come before conmon's first process has written the pid file and ended.
    const [answer, words] = await Promise.all([firstLine(sync), everything(stderr), ended]);
    const message = parseSyncMessage(answer);
    if ('pid' in message) return message.pid;
    throw new Error(message.error || words.trim());
  } catch (error) {
    throw error instanceof Error ? error : new Error(messageOf(error));
  } finally {
    clearTimeout(timer);
    sync.destroy();
    stderr.destroy();
  }
}

/** Text up to the first line break; conmon holds the pipe open for as long as it lives. */
async function firstLine(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream.setEncoding('utf8')) {
    text += String(chunk);
    if (text.includes('\n') || text.length > 65_536) break;
  }
  return text;
}

async function everything(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream.setEncoding('utf8')) if (text.length < 8192) text += String(chunk);
  return text;
}
