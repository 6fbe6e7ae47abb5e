import { existsSync } from 'node:fs';
import type { SandboxSpec } from '../../../../core/model/sandbox-provider.ts';
import { formatLxcConfig } from '../../../lxc-config.ts';
import { pauseId } from '../../../pause-process.ts';

/** The index of a network of liblxc that no guest of Proxmox has. */
const NO_CARD = 'lxc.net.100';

/** Neighbours learn at once whose an address is now; addresses and routes are those of the configuration alone. */
const CARD_SYSCTLS: [key: string, value: string][] = [
  ['lxc.sysctl.net.ipv4.conf.eth0.arp_notify', '1'],
  ...(existsSync('/proc/sys/net/ipv6')
    ? ([
        ['lxc.sysctl.net.ipv6.conf.eth0.ndisc_notify', '1'],
        ['lxc.sysctl.net.ipv6.conf.eth0.accept_ra', '0'],
      ] satisfies [string, string][])
    : []),
];

/** What the file of a guest refers to. */
export interface IncludeParts {
  /** Whether the guest has a network interface of its own, `net0`. */
  hasCard: boolean;
  /** Path of the native helper. */
  native: string;
  /** The guest's own; one of another VMID that includes the file is a copy. */
  vmid: number;
  /** Path of the file that allows one start. */
  permit: string;
  /** The pod's cgroup, absolute below the root of the hierarchy, and its directory. */
  cgroup: string;
  cgroupDirectory: string;
  /** Path of a file that names the directory of one more cgroup, which ends with the guest. */
  also?: string;
}

/**
 * The LXC configuration that a guest's own includes at its end, so that it overrides what Proxmox writes: the pause process, the
 * pod's cgroup, and the hooks that tie the pod to the guest while this server is down. The spec has passed
 * `checkSandboxSpec`.
 */
export function includeFile(
  spec: Pick<SandboxSpec, 'network' | 'ipc' | 'userNamespace' | 'hostname' | 'sysctls'>,
  { hasCard, native, vmid, permit, cgroup, cgroupDirectory, also }: IncludeParts,
): string {
  const hook = `${native} hook --name ${String(vmid)}`;
  const settings: [key: string, value: string, field?: string][] = [
    ['lxc.init.cmd', '/init -P'],
    ['lxc.init.uid', String(pauseId(spec.userNamespace))],
    ['lxc.init.gid', String(pauseId(spec.userNamespace))],
    ['lxc.cap.keep', 'none'],
    // Kernel parameters are set by way of it; the pause process is root nowhere.
    ['lxc.mount.auto', 'proc:rw sys:ro'],
    ['lxc.no_new_privs', '1'],
    // The containers have their own AppArmor profiles; this process has no privileges to confine.
    ['lxc.apparmor.profile', 'unconfined'],
    // Proxmox shuts down by SIGPWR, which a pause process ignores.
    ['lxc.signal.halt', 'SIGTERM'],
    ['lxc.cgroup.dir.container', cgroup.slice(1), 'linux.cgroup_parent'],
    ['lxc.hook.pre-start', `${hook} pre-start ${permit}`],
    ['lxc.hook.stop', `${hook} stop ${also === undefined ? '' : `--also ${also} `}${cgroupDirectory}`],
    ['lxc.hook.post-stop', `${hook} post-stop`],
  ];
  const keep = [spec.ipc === 'node' && 'ipc', spec.network === 'node' && 'net', spec.network === 'node' && 'uts'];
  // With one namespace kept, liblxc creates every other that this key does not name, including a user namespace.
  const kept = [spec.userNamespace === undefined && 'user', ...keep].filter((name) => name !== false);
  if (keep.some((name) => name !== false)) settings.push(['lxc.namespace.keep', kept.join(' ')]);
  if (spec.network === 'pod') {
    const empty = hasCard ? NO_CARD : 'lxc.net.0';
    // With `up`, liblxc sets the loopback up.
    settings.push([`${empty}.type`, 'empty'], [`${empty}.flags`, 'up']);
    if (hasCard) settings.push(...CARD_SYSCTLS);
    if (spec.hostname !== '') settings.push(['lxc.uts.name', spec.hostname, 'hostname']);
  }
  for (const [name, value] of Object.entries(spec.sysctls)) {
    settings.push([`lxc.sysctl.${name}`, value, `linux.sysctls[${name}]`]);
  }
  // Keys without a value forget what was set before: device rules are those of each container's own cgroup.
  const forgotten = ['lxc.cap.drop', 'lxc.mount.auto', 'lxc.cgroup2.devices.deny', 'lxc.cgroup2.devices.allow'];
  if (spec.network === 'node') forgotten.push('lxc.uts.name');
  const text = formatLxcConfig(settings.map(([key, value, field = key]) => ({ key, value, field })));
  return forgotten.map((key) => `${key} =\n`).join('') + text;
}
