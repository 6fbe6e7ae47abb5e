import { splitList } from '../../schema/formats.ts';
import type { ProxmoxRelease } from '../model.ts';

/** What decides a guest's confinement. */
export interface Confinement {
  vmid: number;
  release: ProxmoxRelease;
  unprivileged: boolean;
  features: Record<string, string>;
  /** The raw keys that are set. */
  rawKeys: ReadonlySet<string>;
  /** The guest's directory, where the rules are written. */
  directory: string;
}

/** Lines for the LXC configuration, and what Proxmox warns of. */
export interface SecurityLines {
  lines: string[];
  warnings: string[];
}

const set = (features: Record<string, string>, ...names: string[]): string[] =>
  names.filter((name) => features[name] !== undefined && features[name] !== '0');

function overridden(key: string, settings: string[]): string[] {
  if (settings.length === 0) return [];
  return [`explicitly configured ${key} overrides the following settings: ${settings.join(', ')}`];
}

/**
 * The system call filter. An unprivileged guest has rules of its own, which follow LXC's common ones in the file that the
 * configuration names; a privileged guest has those of the included configuration.
 */
export function seccompLines(of: Confinement): SecurityLines & { rules?: string } {
  const { features, release, vmid } = of;
  if (of.rawKeys.has('lxc.seccomp.profile'))
    return { lines: [], warnings: overridden('lxc.seccomp.profile', set(features, 'keyctl', 'mknod')) };
  if (!of.unprivileged) return { lines: [], warnings: [] };
  const mknod = set(features, 'mknod').length > 0;
  const node = (call: string, argument: number): string[] =>
    [0x2000, 0x6000].map((type) => `${call} notify [${argument},${type},SCMP_CMP_MASKED_EQ,61440]`);
  const rules = [
    'ioctl errno 1 [1,0x9400,SCMP_CMP_MASKED_EQ,0xff00]',
    ...(set(features, 'keyctl').length > 0 ? [] : ['keyctl errno 38']),
    ...(mknod ? [...node('mknod', 1), ...node('mknodat', 2)] : []),
    'socket errno 97 [0,38,SCMP_CMP_EQ]',
  ];
  const socket = release === 8 ? '/run/pve/lxc-syscalld.sock' : '/run/pve-lxc-syscalld/socket';
  return {
    lines: [
      ...(mknod ? [`lxc.seccomp.notify.proxy = unix:${socket}`, `lxc.seccomp.notify.cookie = ${vmid}`] : []),
      `lxc.seccomp.profile = ${of.directory}/rules.seccomp`,
    ],
    warnings: [],
    rules: rules.map((rule) => `${rule}\n`).join(''),
  };
}

/** The AppArmor profile that LXC generates, with what the features add; a raw profile replaces all of it. */
export function apparmorLines(of: Confinement): SecurityLines {
  const { features, release } = of;
  const nesting = set(features, 'nesting').length > 0;
  if (of.rawKeys.has('lxc.apparmor.profile')) {
    const settings = set(features, 'fuse', 'nesting', 'mount').map((name) => `features:${name}`);
    return { lines: [], warnings: overridden('lxc.apparmor.profile', settings) };
  }
  const raw = (rule: string): string => `lxc.apparmor.raw = ${rule},`;
  const nested = ['lxc.apparmor.allow_nesting = 1', ...(release >= 9 ? [raw('allow userns')] : [])];
  return {
    lines: [
      'lxc.apparmor.profile = generated',
      ...(release >= 9 ? [raw('allow mqueue')] : []),
      ...(nesting ? nested : [raw('deny mount -> /proc/'), raw('deny mount -> /sys/')]),
      ...splitList(features['mount'] ?? '').map((type) => raw(`mount fstype=${type}`)),
    ],
    warnings: [],
  };
}
