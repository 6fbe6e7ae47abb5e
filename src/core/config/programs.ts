import type { Config } from './schema.ts';

/** A program that the server or a CNI plugin of its default network runs. */
export interface Program {
  /** A name on PATH, or a path. */
  name: string;
  /** Its Debian package. */
  package: string;
  /** Its purpose, as a predicate: "runs containers". */
  purpose: string;
  /** The RuntimeClass handlers that need it; undefined: all. */
  handlers?: readonly string[];
  /** Whether pods run without it. */
  optional?: boolean;
  /** The configuration key that names it, if any. */
  setting?: string;
  /** Arguments that print its version; undefined: none. */
  version?: readonly string[];
}

const VERSION = ['--version'];

/**
 * Every program that is ever run, for `doctor`, Status and the dependencies of the package. Programs of Debian's essential
 * packages are listed too, since a minimal system may lack them.
 * @param onProxmox whether this machine is a node of Proxmox VE, whose package of LXC is another one: Debian's would remove it.
 */
export function programs({ runtime, images }: Config, onProxmox: boolean): readonly Program[] {
  return [
    {
      name: runtime.oci_runtime,
      package: 'crun',
      purpose: 'runs containers',
      setting: 'runtime.oci_runtime',
      version: VERSION,
    },
    {
      name: runtime.conmon,
      package: 'conmon',
      purpose: 'monitors containers',
      setting: 'runtime.conmon',
      version: VERSION,
    },
    { name: '/usr/bin/catatonit', package: 'catatonit', purpose: 'is the pause process of pods', version: VERSION },
    {
      name: 'lxc-start',
      package: onProxmox ? 'lxc-pve' : 'lxc',
      purpose: 'starts pods',
      handlers: ['lxc'],
      version: VERSION,
    },
    { name: 'tar', package: 'tar', purpose: 'unpacks and packs layers', version: VERSION },
    { name: 'prlimit', package: 'util-linux', purpose: 'limits the tar that unpacks a layer', version: VERSION },
    { name: '/bin/sh', package: 'dash', purpose: 'runs the hooks of LXC containers for liblxc', handlers: ['lxc'] },
    ...['systemctl', 'systemd-run'].map((name) => ({
      name,
      package: 'systemd',
      purpose: 'creates the scopes of pods (runtime.cgroup_driver = "systemd")',
      optional: true,
      version: VERSION,
    })),
    {
      name: 'find',
      package: 'findutils',
      purpose: 'lists root filesystems (diff, commit)',
      optional: true,
      version: VERSION,
    },
    ...['cp', 'du', 'rm', 'sort', 'sync', 'touch'].map((name) => ({
      name,
      package: 'coreutils',
      purpose: 'copies, measures, sorts and removes files',
      version: VERSION,
    })),
    { name: 'xz', package: 'xz-utils', purpose: 'unpacks layers compressed by xz', optional: true, version: VERSION },
    { name: 'zstd', package: 'zstd', purpose: 'unpacks layers compressed by zstd', optional: true, version: VERSION },
    {
      name: 'iptables',
      package: 'iptables',
      purpose: 'maps host ports, also for the CNI plugin portmap, and masquerades for bridge (with ipMasq)',
      optional: true,
      version: VERSION,
    },
    ...[
      { name: 'nsenter', package: 'util-linux' },
      { name: 'ip', package: 'iproute2' },
    ].map((program) => ({
      ...program,
      purpose: 'sets the addresses of pods on networks of Proxmox',
      handlers: ['proxmox-lxc'],
      optional: true,
      version: ['-V'],
    })),
    ...[
      { name: 'sysctl', package: 'procps', purpose: 'sets parameters of the kernel (setup)' },
      { name: 'modprobe', package: 'kmod', purpose: 'loads modules of the kernel (setup)' },
    ].map((program) => ({ ...program, optional: true, version: VERSION })),
    {
      name: 'skopeo',
      package: 'skopeo',
      purpose: 'checks signatures of images',
      optional: images.signature_policy === '',
      version: VERSION,
    },
    {
      name: 'apparmor_parser',
      package: 'apparmor',
      purpose: 'loads the default AppArmor profile',
      optional: true,
      version: VERSION,
    },
  ];
}

/** The remedy for a missing program. */
export function remedyFor({ package: name, setting }: Program): string {
  const install = `apt-get install ${name}`;
  return setting === undefined ? install : `${install}, or set ${setting}`;
}
