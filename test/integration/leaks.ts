import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { CommandError, run } from '../../src/host/processes/run.ts';
import { HANG_MS } from '../lib/eventually.ts';

/** Where a server has what it makes. */
interface Place {
  directory: string;
  cgroup: string;
  dataset?: string | undefined;
}

/** Milliseconds between two equal snapshots. */
const REST_MS = 100;

/**
 * Everything on the machine that pods consist of, as sorted lines, to compare before and after. It is read until it is
 * stable, so that processes about to end count neither before nor after.
 */
export async function inventory(fixture: Place): Promise<string[]> {
  const begun = performance.now();
  for (let before = await look(fixture); ;) {
    await sleep(REST_MS);
    const now = await look(fixture);
    if (isDeepStrictEqual(now, before) || performance.now() - begun > HANG_MS) return now;
    before = now;
  }
}

async function look(fixture: Place): Promise<string[]> {
  const lines = [
    ...(await processes()),
    ...(await mounts()),
    ...(await interfaces()),
    ...(await cgroups(fixture.cgroup)),
    ...(await namespaces()),
    ...(await firewall()),
    ...(await files(fixture.directory)),
    ...(fixture.dataset === undefined ? [] : await datasets(fixture.dataset)),
  ];
  return lines.sort();
}

/** Lines of `after` that `before` lacks, and vice versa. */
export function difference(before: readonly string[], after: readonly string[]): string[] {
  const count = (lines: readonly string[]) => {
    const counts = new Map<string, number>();
    for (const line of lines) counts.set(line, (counts.get(line) ?? 0) + 1);
    return counts;
  };
  const [old, now] = [count(before), count(after)];
  return [...new Set([...before, ...after])].flatMap((line) => {
    const change = (now.get(line) ?? 0) - (old.get(line) ?? 0);
    return change === 0 ? [] : [`${change > 0 ? '+' : ''}${String(change)} ${line}`];
  });
}

/**
 * The differences between now and before, once the kernel and ending processes have had as long as {@link HANG_MS};
 * lines for which `ignored` returns true do not count.
 */
export async function leftovers(
  fixture: Place,
  before: readonly string[],
  ignored: (line: string) => boolean = () => false,
): Promise<string[]> {
  const begun = performance.now();
  for (;;) {
    // A process of before that has ended since was a running command of the server.
    const isEnded = (line: string) => /^-\d+ process /.test(line);
    const left = difference(before, await look(fixture)).filter((line) => !ignored(line) && !isEnded(line));
    if (left.length === 0 || performance.now() - begun > HANG_MS) return left;
    await sleep(50);
  }
}

async function processes(): Promise<string[]> {
  const { stdout } = await run('ps', ['-eo', 'comm=,args=']);
  // ps itself, short-lived processes of the test runner, and the native helpers of the runner and of the server,
  // with their zombies.
  return stdout
    .split('\n')
    .filter((line) => !/lxcri-native serve$|\[lxcri-native\] <defunct>$/.test(line))
    .map((line) => line.trim().split(' ')[0] ?? '')
    .filter((name) => name !== '' && name !== 'ps' && name !== 'node' && name !== 'MainThread')
    .map((name) => `process ${name}`);
}

async function mounts(): Promise<string[]> {
  const text = await readFile('/proc/self/mountinfo', 'utf8');
  return text.split('\n').flatMap((line) => {
    const point = line.split(' ')[4];
    return point === undefined ? [] : [`mount ${point}`];
  });
}

async function interfaces(): Promise<string[]> {
  return (await readdir('/sys/class/net')).map((name) => `interface ${name}`);
}

async function namespaces(): Promise<string[]> {
  const found = new Set<string>();
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    for (const kind of ['net', 'ipc', 'uts', 'pid', 'mnt']) {
      const link = await readlink(`/proc/${pid}/ns/${kind}`).catch(() => undefined);
      if (link !== undefined) found.add(link);
    }
  }
  return [...found].map((name) => `namespace ${name}`);
}

async function cgroups(parent: string): Promise<string[]> {
  const { stdout } = await run('find', ['/sys/fs/cgroup', '-type', 'd', '-path', `*${parent}/*`]).catch(exceptVanished);
  return (
    stdout
      .split('\n')
      // Below a hidden cgroup2 mount lie plain directories of crun's, which go with the sandbox.
      .filter((line) => line !== '' && !line.startsWith('/sys/fs/cgroup/unified/'))
      .map((line) => `cgroup ${line}`)
  );
}

/** The output of find(1), even if other sandboxes removed cgroups meanwhile. @throws any other error. */
export function exceptVanished(error: unknown): CommandError {
  const isVanished = (line: string) => line === '' || line.endsWith('No such file or directory');
  if (error instanceof CommandError && error.stderr.split('\n').every(isVanished)) return error;
  throw error;
}

async function firewall(): Promise<string[]> {
  const { stdout } = await run('iptables-save', []).catch(() => ({ stdout: '' }));
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('-A') || line.startsWith(':'))
    .map((line) => `rule ${line.replace(/ \[\d+:\d+\]$/, '')}`);
}

/** Files and directories of the server, except its log, the logs of the pods, and seccomp filters that crun keeps. */
async function files(directory: string): Promise<string[]> {
  const names = await readdir(directory, { recursive: true });
  // readdir follows /dev/fd in the root filesystem of pause processes to the descriptors of this process.
  const isOther = (name: string) => name.includes('/runtime/.cache') || name.includes('/dev/fd/');
  return names
    .filter((name) => !name.startsWith('logs') && !isOther(name))
    .map((name) => `file ${join(directory, name.replace(/(?<=network-commands\/).*/, 'FIFO'))}`);
}

/** Datasets and snapshots below one, with what the store says of them. */
async function datasets(parent: string): Promise<string[]> {
  const columns = 'name,origin,proxmox-lxcri:kind';
  const { stdout } = await run('zfs', ['list', '-Hro', columns, '-t', 'filesystem,volume,snapshot', parent]);
  return stdout
    .trim()
    .split('\n')
    .map((line) => `dataset ${line}`);
}
