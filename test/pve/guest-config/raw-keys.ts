import type { ProxmoxRelease } from './model.ts';

/** Keys that are taken over as they stand, one family a line. */
const ACCEPTED = `
  apparmor: profile allow_incomplete allow_nesting raw
  cap: drop keep
  console: logfile path
  hook: autodev clone destroy mount post-stop pre-mount pre-start start stop version
  init: cmd
  log: file level
  mount: auto entry fstab
  rootfs: mount
  seccomp: profile notify.cookie notify.proxy
  selinux: context
  signal: halt reboot stop
  start: auto delay order
  sysctl: fs.mqueue kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni kernel.shm_rmid_forced
  devtty: dir
  pty: max
  tty: max
  uts: name`;
const SINGLE = ['arch', 'autodev', 'environment', 'group', 'idmap', 'include', 'kmsg'];
/** Since pve-container 6. */
const ACCEPTED_9 = `
  init: cwd gid groups uid
  environment: hooks runtime`;

function family(table: string): string[] {
  return table.split('\n').flatMap((line) => {
    const [stem = '', names = ''] = line.trim().split(/:\s*/);
    return names.split(' ').map((name) => `lxc.${stem}.${name}`);
  });
}

const FOR_8 = new Set([...family(ACCEPTED), ...SINGLE.map((name) => `lxc.${name}`)]);
const FOR_9 = new Set([...FOR_8, ...family(ACCEPTED_9)]);

/** Keys of LXC 2 that LXC 3 renamed: taken over with a warning, though today's LXC knows them no more. */
const RENAMED: Record<string, string> = {
  aa_profile: 'apparmor.profile',
  aa_allow_incomplete: 'apparmor.allow_incomplete',
  console: 'console.path',
  devttydir: 'tty.dir',
  haltsignal: 'signal.halt',
  rebootsignal: 'signal.reboot',
  stopsignal: 'signal.stop',
  id_map: 'idmap',
  init_cmd: 'init.cmd',
  loglevel: 'log.level',
  logfile: 'log.file',
  mount: 'mount.fstab',
  pts: 'pty.max',
  se_context: 'selinux.context',
  seccomp: 'seccomp.profile',
  tty: 'tty.max',
  utsname: 'uts.name',
  'network.ipv4': 'net.INDEX.ipv4.address',
  'network.ipv6': 'net.INDEX.ipv6.address',
};
for (const name of 'type flags link mtu name hwaddr ipv4.gateway ipv6.gateway script.up script.down'.split(' '))
  RENAMED[`network.${name}`] = `net.INDEX.${name}`;

/** Keys with a reason of their own against them. */
const REFUSED: Record<string, string> = {
  'lxc.rootfs.path': 'lxc.rootfs.path is auto generated from rootfs',
  'lxc.rootfs.options': 'lxc.rootfs.options is not supported, please use mount point options in the "rootfs" key',
};

/** What Proxmox does with a raw key of a guest's configuration. */
export interface RawKeyVerdict {
  accepted: boolean;
  /** What it says, without the guest: for an accepted key it is kept all the same, a refused one without any is unknown. */
  warning?: string;
}

/** Whether a line with the raw key is kept; a line that is not is lost at the next write of the file. */
export function judgeRawKey(key: string, release: ProxmoxRelease): RawKeyVerdict {
  if (key.startsWith('lxc.limit.'))
    return { accepted: true, warning: `${key}: lxc.limit.* was renamed to lxc.prlimit.*` };
  const renamed = RENAMED[key.slice('lxc.'.length)];
  if (renamed !== undefined)
    return { accepted: true, warning: `${key} is deprecated and was renamed to lxc.${renamed}` };
  const refused = REFUSED[key];
  if (refused !== undefined) return { accepted: false, warning: `${key}: ${refused}` };
  if ((release === 8 ? FOR_8 : FOR_9).has(key)) return { accepted: true };
  if (key.startsWith('lxc.cgroup.')) {
    if (release === 8) return { accepted: true };
    return { accepted: true, warning: `${key} is deprecated, this will be a hard error in the future!` };
  }
  return { accepted: /^lxc\.(cgroup2|prlimit|net)\./.test(key) };
}
