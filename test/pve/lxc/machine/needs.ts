import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { environment } from './tool.ts';

const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  lxc: ['lxc-start', 'lxc-stop', 'lxc-usernsexec'],
  uidmap: ['newuidmap', 'newgidmap'],
  apparmor: ['apparmor_parser'],
  iproute2: ['ip', 'bridge', 'tc'],
  'util-linux and mount': ['unshare', 'nsenter', 'mount'],
  tar: ['tar'],
};

function hasProgram(name: string): boolean {
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

/** What this machine lacks to run containers as a Proxmox node does; nothing when it can. */
export function missingNeeds(): string[] {
  const controllers = text('/sys/fs/cgroup/cgroup.controllers').trim().split(' ');
  const packages = Object.entries(PROGRAMS).filter(([, names]) => !names.every(hasProgram));
  const checks: [met: boolean, missing: string][] = [
    [process.getuid?.() === 0, 'root'],
    ...packages.map(([name, programs]): [boolean, string] => [
      false,
      `${programs.filter((program) => !hasProgram(program)).join(', ')} (package ${name})`,
    ]),
    [
      ['cpu', 'io', 'memory'].every((name) => controllers.includes(name)),
      'cgroup v2 alone at /sys/fs/cgroup, with the controllers cpu, io and memory',
    ],
    [text('/sys/module/apparmor/parameters/enabled').startsWith('Y'), 'AppArmor in the kernel'],
    [/\toverlay$/m.test(text('/proc/filesystems')), 'overlayfs in the kernel'],
    ...['/usr/share/lxc/config/common.conf', '/etc/subuid', '/etc/subgid'].map((file): [boolean, string] => [
      existsSync(file),
      file,
    ]),
  ];
  return checks.filter(([met]) => !met).map(([, missing]) => missing);
}
