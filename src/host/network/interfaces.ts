import { closeSync, openSync, readSync, readdirSync, statSync } from 'node:fs';
import type { InterfaceCounters } from '../../core/model/resource-usage.ts';
import { isErrno } from '../../utils/errors.ts';
import { parseCount } from '../cgroup/figures.ts';
import { run } from '../processes/run.ts';

/** Of /proc/net/dev and of a list of processes: a pod that may make interfaces can make any number. */
const MOST_BYTES = 65_536;
/** Interfaces of one pod that are counted. */
const MOST_INTERFACES = 32;
/** For a program that reads one file of the kernel. */
const LIMIT_MS = 10_000;

/**
 * The counters of the interfaces in the network namespace at the path `netns`, without the loopback. They are read through one of
 * the processes in the cgroups at `directories` or directly below; where none of them is in the namespace, a program enters it.
 * undefined when there is no such namespace any more.
 */
export async function readInterfaces(
  netns: string,
  directories: readonly string[],
): Promise<InterfaceCounters[] | undefined> {
  const namespace = identityOf(netns);
  if (namespace === undefined) return undefined;
  for (const pid of candidates(directories)) {
    const process = `/proc/${String(pid)}`;
    if (identityOf(`${process}/ns/net`) !== namespace) continue;
    const text = readStart(`${process}/net/dev`);
    // The process may have ended, and another one have its pid.
    if (text !== undefined && identityOf(`${process}/ns/net`) === namespace) return parseInterfaces(text);
  }
  try {
    return parseInterfaces(await readInside(netns));
  } catch (error) {
    // Its pod was stopped meanwhile.
    if (identityOf(netns) !== namespace) return undefined;
    throw error;
  }
}

/** /proc/net/dev of a network namespace, by a program. */
async function readInside(netns: string): Promise<string> {
  const args = [`--net=${netns}`, '--', 'cat', '/proc/net/dev'];
  const options = { holds: 'nothing', timeoutMs: LIMIT_MS, maxOutputBytes: MOST_BYTES } as const;
  return (await run('nsenter', args, options)).stdout;
}

/**
 * Parses /proc/net/dev (proc_pid_net(5)). Names are any bytes but blanks, colons and slashes; of two that are the same as text, and
 * of more than 32, the rest is left out.
 */
export function parseInterfaces(text: string): InterfaceCounters[] {
  const found = new Map<string, InterfaceCounters>();
  for (const line of text.split('\n')) {
    const [, name, rest] = /^\s*([^\s:/]+):(.*)$/.exec(line) ?? [];
    if (name === undefined || rest === undefined || name === 'lo' || found.has(name)) continue;
    const values = rest.trim().split(/\s+/).map(parseCount);
    if (values.length < 16 || values.includes(undefined)) continue;
    const at = (index: number) => values[index] ?? 0n;
    const traffic = (from: number) => ({
      bytes: at(from),
      packets: at(from + 1),
      errors: at(from + 2),
      dropped: at(from + 3),
    });
    found.set(name, { name, received: traffic(0), sent: traffic(8) });
    if (found.size === MOST_INTERFACES) break;
  }
  return [...found.values()];
}

/** The first process of each cgroup: a pause process, or the first one of a container. */
function* candidates(directories: readonly string[]): Generator<number> {
  for (const directory of directories) {
    for (const name of ['', ...namesIn(directory)]) {
      const pid = Number.parseInt(readStart(`${directory}/${name}/cgroup.procs`) ?? '', 10);
      if (pid > 0) yield pid;
    }
  }
}

function namesIn(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV')) return [];
    throw error;
  }
}

/** The namespace behind a file of nsfs; undefined when the file is not there. */
function identityOf(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${String(dev)}:${String(ino)}`;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}

/** The first bytes of a file of the kernel, which it makes as it is read; undefined when it is not there. */
function readStart(path: string): string | undefined {
  const buffer = Buffer.alloc(MOST_BYTES);
  let length = 0;
  try {
    const file = openSync(path, 'r');
    try {
      for (let read = -1; read !== 0 && length < buffer.length; length += read) {
        read = readSync(file, buffer, length, buffer.length - length, null);
      }
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH', 'ENODEV', 'EOPNOTSUPP', 'EINVAL')) return undefined;
    throw error;
  }
  return buffer.toString('utf8', 0, length);
}
