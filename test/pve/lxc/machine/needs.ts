import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fitsSocket } from './command-socket.ts';
import { environment, tool } from './tool.ts';

const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  lxc: ['lxc-start', 'lxc-stop', 'lxc-usernsexec'],
  uidmap: ['newuidmap', 'newgidmap'],
  apparmor: ['apparmor_parser'],
  iproute2: ['ip', 'bridge', 'tc'],
  'util-linux and mount': ['unshare', 'nsenter', 'mount'],
  tar: ['tar'],
};

/** Whether the programs of the node include `name`. */
export function hasProgram(name: string): boolean {
  return environment.PATH.split(':').some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function text(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

/** The first directory above `directory` that others cannot go through. */
function closedAbove(directory: string): string | undefined {
  const above = dirname(directory);
  if ((statSync(above).mode & 0o001) === 0) return above;
  return above === directory ? undefined : closedAbove(above);
}

/** Why the directory of a cluster cannot have containers, whose own directories are at `lxcPaths`; nothing when it can. */
export function unfitPlace(directory: string, lxcPaths: readonly string[]): string[] {
  const closed = closedAbove(directory);
  return [
    ...(closed === undefined ? [] : [`a directory ${closed} that root of an unprivileged container can go through`]),
    ...(lxcPaths.every(fitsSocket)
      ? []
      : [`a shorter directory than ${directory}, which the names of sockets contain`]),
  ];
}

/**
 * What this machine lacks to run containers as a Proxmox node does; nothing when it can.
 * @param bare without limits and AppArmor.
 */
export function missingNeeds(bare = false): string[] {
  const controllers = text('/sys/fs/cgroup/cgroup.controllers').trim().split(' ');
  const packages = Object.entries(PROGRAMS).filter(([, names]) => !names.every(hasProgram));
  const checks: [met: boolean, missing: string][] = [
    [process.getuid?.() === 0, 'root'],
    ...packages.map(([name, programs]): [boolean, string] => [
      false,
      `${programs.filter((program) => !hasProgram(program)).join(', ')} (package ${name})`,
    ]),
    [
      bare || ['cpu', 'io', 'memory'].every((name) => controllers.includes(name)),
      'cgroup v2 alone at /sys/fs/cgroup, with the controllers cpu, io and memory',
    ],
    [bare || text('/sys/module/apparmor/parameters/enabled').startsWith('Y'), 'AppArmor in the kernel'],
    [/\toverlay$/m.test(text('/proc/filesystems')), 'overlayfs in the kernel'],
    ...['/usr/share/lxc/config/common.conf', '/etc/subuid', '/etc/subgid'].map((file): [boolean, string] => [
      existsSync(file),
      file,
    ]),
  ];
  return checks.filter(([met]) => !met).map(([, missing]) => missing);
}

/** What this machine lacks for storages that are pools of ZFS; nothing when it has it, or there are none. */
export async function missingPools(storages: readonly string[]): Promise<string[]> {
  if (storages.length === 0) return [];
  const of = `for storage '${storages.join("', '")}'`;
  if (!['zfs', 'zpool'].every(hasProgram)) return [`zfs and zpool (package zfsutils-linux) ${of}`];
  const loaded = await tool('zpool', ['list', '-H']).then(
    () => true,
    () => false,
  );
  // Where mounts are private, each container's namespace keeps the datasets of the others busy.
  const followed = /^\d+ \d+ \S+ \S+ \/ \S+ .*\bshared:\d/m.test(text('/proc/self/mountinfo'));
  return [
    ...(loaded ? [] : [`OpenZFS in the kernel ${of}`]),
    ...(followed ? [] : [`shared mounts (mount --make-rshared /) ${of}`]),
  ];
}
