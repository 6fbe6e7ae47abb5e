import type { Config } from './schema.ts';

/** A program that the server, or a CNI plugin of its default network, starts. */
export interface Program {
  /** A name on PATH, or a path. */
  name: string;
  /** The Debian package that has it. */
  package: string;
  /** What it is started for. */
  purpose: string;
  /** The RuntimeClass handlers that need it; undefined: all. */
  handlers?: readonly string[];
  /** Whether pods run without it. */
  optional?: boolean;
  /** The configuration key that names it, where one does. */
  setting?: string;
  /** What makes it print its version; undefined: it has no such option. */
  version?: readonly string[];
}

const VERSION = ['--version'];

/**
 * Every program that is ever started, from which `doctor`, Status and the dependencies of the package are made. Those of
 * Debian's essential packages are named too, for a minimal system may lack them.
 */
export function programs({ runtime, images }: Config): readonly Program[] {
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
      purpose: 'watches containers',
      setting: 'runtime.conmon',
      version: VERSION,
    },
    { name: '/usr/bin/catatonit', package: 'catatonit', purpose: 'is the pause process of pods', version: VERSION },
    { name: 'lxc-start', package: 'lxc', purpose: 'starts pods', handlers: ['lxc'], version: VERSION },
    { name: 'tar', package: 'tar', purpose: 'unpacks and packs layers', version: VERSION },
    { name: '/bin/sh', package: 'dash', purpose: 'runs the hooks of LXC containers and keeps the scopes of systemd' },
    ...['systemctl', 'systemd-run'].map((name) => ({
      name,
      package: 'systemd',
      purpose: 'makes the scopes of pods (runtime.cgroup_driver = "systemd")',
      optional: true,
      version: VERSION,
    })),
    ...['cp', 'du', 'rm', 'sync', 'touch'].map((name) => ({
      name,
      package: 'coreutils',
      purpose: 'works on files',
      version: VERSION,
    })),
    { name: 'xz', package: 'xz-utils', purpose: 'unpacks layers compressed by xz', optional: true, version: VERSION },
    { name: 'zstd', package: 'zstd', purpose: 'unpacks layers compressed by zstd', optional: true, version: VERSION },
    {
      name: 'iptables',
      package: 'iptables',
      purpose: 'is run by the CNI plugins bridge (with ipMasq) and portmap',
      optional: true,
      version: VERSION,
    },
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

/** What to do about a program that is missing. */
export function remedyFor({ package: name, setting }: Program): string {
  const install = `apt-get install ${name}`;
  return setting === undefined ? install : `${install}, or name another in ${setting}`;
}
