import { parsePropertyString } from '../../schema/check-value.ts';
import { PropertyStringError } from '../../schema/property-string.ts';
import { deviceLines } from './devices.ts';
import { cpusetLines, limitLines } from './limits.ts';
import { networkLines } from './network.ts';
import { apparmorLines, seccompLines } from './security.ts';
import { LxcConfigFailure, surroundings as defaults, type LxcSurroundings } from './surroundings.ts';
import type { GuestConfig, ProxmoxRelease } from '../model.ts';
import { perlTrue } from './perl-number.ts';
import { FEATURES, rootfsFormat } from '../property-formats.ts';

/** For which guest, release and node a configuration is written. */
export interface LxcConfigOptions {
  vmid: number;
  version: ProxmoxRelease;
  surroundings?: Partial<LxcSurroundings>;
}

/** What comes of a guest's configuration. */
export interface LxcConfig {
  /** The file, absent where none is written: a template has none (an old one is removed), and a failure leaves the old one. */
  text?: string;
  /** Why Proxmox gives up, in its own words. */
  failure?: string;
  /** What follows LXC's common rules in the guest's `rules.seccomp`, where it has one; written even when what follows fails. */
  seccompRules?: string;
  warnings: string[];
}

const CONFIGURATIONS = '/usr/share/lxc/config';

/**
 * The LXC configuration that the release writes for a container at each change and start. Only the guest's own section
 * counts: pending changes are applied by others first. The node's cgroups are version 2 alone.
 */
export function lxcConfig(config: GuestConfig, options: LxcConfigOptions): LxcConfig {
  const result: LxcConfig = { warnings: [] };
  if (perlTrue(config.options['template'])) return result;
  try {
    result.text = generated(config, options, result)
      .map((line) => `${line}\n`)
      .join('');
  } catch (error) {
    if (!(error instanceof LxcConfigFailure || error instanceof PropertyStringError)) throw error;
    result.failure = error.message;
  }
  return result;
}

function required(config: GuestConfig, key: string): string {
  const value = config.options[key];
  if (!perlTrue(value)) throw new LxcConfigFailure(`missing '${key}' - internal error`);
  return String(value);
}

function generated(config: GuestConfig, { vmid, version, ...given }: LxcConfigOptions, result: LxcConfig): string[] {
  const { options, lxc } = config;
  const node = defaults(given.surroundings);
  const directory = `${node.lxcPath}/${vmid}`;
  const rawKeys = new Set(lxc.map(([key]) => key));
  const warn = (text: string): number => result.warnings.push(text);
  const entrypoint = version >= 9 ? options['entrypoint'] : undefined;
  const unprivileged = perlTrue(options['unprivileged']) || rawKeys.has('lxc.idmap');
  const arch = required(config, 'arch');
  const ostype = required(config, 'ostype');

  const included = ['common', ...(unprivileged ? ['userns'] : [])].map((kind) => {
    const own = `${ostype}.${kind}.conf`;
    return { file: node.hasLxcFile(own) ? own : `${kind}.conf`, own: node.hasLxcFile(own) };
  });
  const features = perlTrue(options['features']) ? parsePropertyString(FEATURES, String(options['features'])) : {};
  const confinement = { vmid, release: version, unprivileged, features, rawKeys, directory };
  const seccomp = seccompLines(confinement);
  const apparmor = apparmorLines(confinement);
  result.warnings.push(...seccomp.warnings, ...apparmor.warnings);
  if (seccomp.rules !== undefined) result.seccompRules = seccomp.rules;

  const lines = [
    'lxc.cgroup.relative = 0',
    `lxc.cgroup.dir.monitor = lxc.monitor/${vmid}`,
    `lxc.cgroup.dir.container = lxc/${vmid}`,
    'lxc.cgroup.dir.container.inner = ns',
    `lxc.arch = ${arch}`,
    ...included.map(({ file }) => `lxc.include = ${CONFIGURATIONS}/${file}`),
    ...seccomp.lines,
    ...apparmor.lines,
  ];
  if (features['fuse'] === '1')
    lines.push(
      'lxc.apparmor.raw = mount fstype=fuse,',
      'lxc.mount.entry = /dev/fuse dev/fuse none bind,create=file 0 0',
    );
  if (unprivileged && features['force_rw_sys'] !== '1') lines.push('lxc.mount.auto = sys:mixed');
  // Nothing else mounts it where no init system runs.
  if (entrypoint !== undefined && entrypoint !== '/sbin/init')
    lines.push('lxc.mount.entry = shm dev/shm tmpfs rw,nosuid,nodev,create=dir 0 0');
  const missingBefore = included.some(({ own }) => !own) && seccomp.rules === undefined;
  lines.push(...deviceLines(options, node.devices, missingBefore), 'lxc.monitor.unshare = 1');
  if (unprivileged && !rawKeys.has('lxc.idmap'))
    lines.push('lxc.idmap = u 0 100000 65536', 'lxc.idmap = g 0 100000 65536');
  if (options['console'] !== undefined && !perlTrue(options['console']))
    lines.push('lxc.console.path = none', 'lxc.cgroup2.devices.deny = c 5:1 rwm');
  lines.push(`lxc.tty.max = ${options['tty'] ?? 2}`, 'lxc.environment = TERM=linux');
  lines.push(`lxc.uts.name = ${perlTrue(options['hostname']) ? options['hostname'] : `CT${vmid}`}`);
  lines.push(...limitLines(config, warn));
  if (options['rootfs'] === undefined) throw new LxcConfigFailure("missing 'rootfs' configuration");
  parsePropertyString(rootfsFormat(version), String(options['rootfs']));
  lines.push(`lxc.rootfs.path = ${directory}/rootfs`);
  if (entrypoint !== undefined) lines.push(`lxc.init.cmd = ${entrypoint}`);
  for (const key of Object.keys(options).sort())
    if (/^net\d+$/.test(key))
      lines.push(...networkLines(key, String(options[key]), { vmid, release: version, surroundings: node, warn }));
  if (version >= 9 && perlTrue(options['env']))
    lines.push(
      ...String(options['env'])
        .split(/\0+/)
        .map((variable) => `lxc.environment.runtime = ${variable}`),
    );
  lines.push(...lxc.map(([key, value]) => `${key} = ${value}`));
  if (!rawKeys.has('lxc.cgroup2.cpuset.cpus') && !(version === 8 && rawKeys.has('lxc.cgroup.cpuset.cpus')))
    lines.push(...cpusetLines(config, node.cpus, node.random, warn));
  return lines;
}
