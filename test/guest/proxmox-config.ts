/**
 * A container of Proxmox VE 9 as its own configuration (VMID.conf) describes it; absent keys have Proxmox's defaults.
 */
export interface ProxmoxContainer {
  vmid: number;
  hostname?: string;
  unprivileged?: boolean;
  /** MiB. */
  memory?: number;
  /** MiB. */
  swap?: number;
  entrypoint?: string;
  /** Raw lines, which Proxmox writes last. */
  lxc?: readonly (readonly [key: string, value: string])[];
}

/** The LXC configuration that Proxmox VE 9 generates before it starts a container of ostype unmanaged. */
export function proxmoxConfig(container: ProxmoxContainer, lxcPath = '/var/lib/lxc'): string {
  const { vmid, memory = 512, swap = 0, unprivileged = false, lxc = [] } = container;
  const shifted = unprivileged || lxc.some(([key]) => key === 'lxc.idmap');
  const high = memory >= 16_384 ? (memory - 128) * 1_048_576 : memory * 1016 * 1024;
  const lines: [string, string | number][] = [
    ['lxc.cgroup.relative', 0],
    ['lxc.cgroup.dir.monitor', `lxc.monitor/${String(vmid)}`],
    ['lxc.cgroup.dir.container', `lxc/${String(vmid)}`],
    ['lxc.cgroup.dir.container.inner', 'ns'],
    ['lxc.arch', 'amd64'],
    ['lxc.include', '/usr/share/lxc/config/common.conf'],
  ];
  if (shifted) {
    lines.push(['lxc.include', '/usr/share/lxc/config/userns.conf']);
    lines.push(['lxc.seccomp.profile', `${lxcPath}/${String(vmid)}/rules.seccomp`]);
  }
  lines.push(['lxc.apparmor.profile', 'generated'], ['lxc.apparmor.raw', 'allow mqueue,']);
  lines.push(['lxc.apparmor.raw', 'deny mount -> /proc/,'], ['lxc.apparmor.raw', 'deny mount -> /sys/,']);
  if (shifted) lines.push(['lxc.mount.auto', 'sys:mixed']);
  if (container.entrypoint !== undefined) {
    lines.push(['lxc.mount.entry', 'shm dev/shm tmpfs rw,nosuid,nodev,create=dir 0 0']);
  }
  lines.push(['lxc.monitor.unshare', 1]);
  if (unprivileged && !lxc.some(([key]) => key === 'lxc.idmap')) {
    lines.push(['lxc.idmap', 'u 0 100000 65536'], ['lxc.idmap', 'g 0 100000 65536']);
  }
  lines.push(['lxc.tty.max', 2], ['lxc.environment', 'TERM=linux']);
  lines.push(['lxc.uts.name', container.hostname ?? `CT${String(vmid)}`]);
  lines.push(['lxc.cgroup2.memory.max', memory * 1_048_576], ['lxc.cgroup2.memory.high', high]);
  lines.push(
    ['lxc.cgroup2.memory.swap.max', swap * 1_048_576],
    ['lxc.rootfs.path', `${lxcPath}/${String(vmid)}/rootfs`],
  );
  if (container.entrypoint !== undefined) lines.push(['lxc.init.cmd', container.entrypoint]);
  return [...lines, ...lxc].map(([key, value]) => `${key} = ${String(value)}\n`).join('');
}
