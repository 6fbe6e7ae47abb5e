import { existsSync, readFileSync } from 'node:fs';
import { hasProgram } from '../../lxc/machine/needs.ts';
import { tool } from '../../lxc/machine/tool.ts';

/** The program that runs machines. */
const QEMU = '/usr/bin/kvm';

const CONTROLLERS = '/sys/fs/cgroup/cgroup.controllers';
/** The longest name of a socket, with the zero behind it. */
const LONGEST_NAME = 108;

/** What this machine lacks to run virtual machines with sockets in `run`; nothing when it can. */
export function missingNeeds(run: string): string[] {
  const controllers = existsSync(CONTROLLERS) ? readFileSync(CONTROLLERS, 'utf8').trim().split(' ') : [];
  const checks: [met: boolean, missing: string][] = [
    [process.getuid?.() === 0, 'root'],
    [existsSync(QEMU), `${QEMU} (package qemu-system-x86)`],
    [hasProgram('ip') && hasProgram('bridge') && hasProgram('tc'), 'ip, bridge, tc (package iproute2)'],
    [existsSync('/dev/net/tun'), '/dev/net/tun'],
    [
      ['cpu', 'io', 'memory'].every((name) => controllers.includes(name)),
      'cgroup v2 alone at /sys/fs/cgroup, with the controllers cpu, io and memory',
    ],
    [
      Buffer.byteLength(`${run}/virtiofsd/vm999999999-fs9`) < LONGEST_NAME,
      `a shorter directory than ${run}, which the names of sockets contain`,
    ],
  ];
  return checks.filter(([met]) => !met).map(([, missing]) => missing);
}

/** The version of the program, such as `10.0.2`. @throws Error when it says none. */
export async function qemuVersion(): Promise<string> {
  const { stdout } = await tool(QEMU, ['--version']);
  const [, version] = /version (\d+\.\d+\.\d+)/.exec(stdout) ?? [];
  if (version === undefined) throw new Error(`unexpected answer of ${QEMU} --version: ${stdout}`);
  return version;
}

/** Whether the kernel has io_uring and lets everybody use it. */
export function hasIoUring(): boolean {
  const switched = '/proc/sys/kernel/io_uring_disabled';
  return existsSync(switched) && readFileSync(switched, 'utf8').trim() === '0';
}
