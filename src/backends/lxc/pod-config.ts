import type { SandboxSpec } from '../../core/model/sandbox-provider.ts';
import { pauseId } from '../pause-process.ts';
import type { LxcCgroups } from './lxc-cgroups.ts';
import { innerCgroup } from './lxc-cgroups.ts';
import type { PauseFiles } from './pause-files.ts';
import { formatLxcConfig } from '../lxc-config.ts';

/**
 * The configuration of a pod's LXC container: an unprivileged pause process in an empty root, which owns the pod's
 * namespaces. The spec has passed {@link checkSandboxSpec}.
 * @param permit absolute path of the file that allows one start; see src/native/hook.c.
 */
export function podConfig(spec: SandboxSpec, cgroups: LxcCgroups, files: PauseFiles, permit: string): string {
  const hook = `${files.native} hook`;
  const settings: [key: string, value: string, field?: string][] = [
    ['lxc.rootfs.path', `dir:${files.rootfs}`],
    ['lxc.rootfs.options', 'ro'],
    ['lxc.init.cmd', '/init -P'],
    ['lxc.mount.entry', `${files.init} init none bind,ro 0 0`],
    ['lxc.mount.entry', '/dev/null dev/null none bind,ro 0 0'],
    ['lxc.autodev', '0'],
    ['lxc.console.path', 'none'],
    ['lxc.tty.max', '0'],
    ['lxc.pty.max', '0'],
    ['lxc.cap.keep', 'none'],
    ['lxc.no_new_privs', '1'],
    ['lxc.init.uid', String(pauseId(spec.userNamespace))],
    ['lxc.init.gid', String(pauseId(spec.userNamespace))],
    ['lxc.seccomp.profile', files.seccomp],
    // The containers have their own AppArmor profiles; this process has no privileges to confine.
    ['lxc.apparmor.profile', 'unconfined'],
    ['lxc.signal.halt', 'SIGTERM'],
    ['lxc.cgroup.relative', '0'],
    ['lxc.cgroup.dir.container', `${cgroups.pod.slice(1)}/${innerCgroup}`, 'linux.cgroup_parent'],
    ['lxc.cgroup.dir.monitor', `${cgroups.liblxc.slice(1)}/monitor`, 'linux.cgroup_parent'],
    // The cgroup that liblxc's monitor enters at its end, so that it can remove its own.
    ['lxc.cgroup.dir.monitor.pivot', `${cgroups.liblxc.slice(1)}/pivot`, 'linux.cgroup_parent'],
    ['lxc.hook.version', '1'],
    ['lxc.hook.pre-start', `${hook} pre-start ${permit}`],
    ['lxc.hook.stop', [hook, 'stop', ...cgroups.podDirectories].join(' ')],
    ['lxc.hook.post-stop', `${hook} post-stop`],
  ];
  const keep = [spec.ipc === 'node' && 'ipc', spec.network === 'node' && 'uts'];
  // With one namespace kept, liblxc creates every other that this key does not name, including a user namespace.
  const kept = [spec.userNamespace === undefined && 'user', ...keep].filter((name) => name !== false);
  if (keep.some((name) => name !== false)) settings.push(['lxc.namespace.keep', kept.join(' ')]);
  if (spec.userNamespace !== undefined) {
    const { hostId, size } = spec.userNamespace;
    for (const kind of ['u', 'g']) settings.push(['lxc.idmap', `${kind} 0 ${String(hostId)} ${String(size)}`]);
  }
  if (spec.network === 'node') {
    // By path: liblxc itself is in another one, see startLxc.
    settings.push(['lxc.namespace.share.net', `/proc/${String(process.pid)}/ns/net`]);
  } else {
    if (spec.networkNamespace !== undefined) settings.push(['lxc.namespace.share.net', spec.networkNamespace]);
    // With `up`, liblxc sets the loopback up.
    else settings.push(['lxc.net.0.type', 'empty'], ['lxc.net.0.flags', 'up']);
    if (spec.hostname !== '') settings.push(['lxc.uts.name', spec.hostname, 'hostname']);
  }
  for (const [name, value] of Object.entries(spec.sysctls)) {
    settings.push([`lxc.sysctl.${name}`, value, `linux.sysctls[${name}]`]);
  }
  return formatLxcConfig(settings.map(([key, value, field = key]) => ({ key, value, field })));
}
