import type { IdRange } from '../../core/model/id-range.ts';
import type { OciSpec } from '../../core/model/oci-runtime.ts';
import { pauseId, pauseSeccomp } from '../pause-process.ts';

export interface PauseBundle {
  rootfs: string;
  /** The program mounted at /init. */
  init: string;
  cgroup: string;
  /** Files of namespaces to join; except for PID and mount, the others are the node's. */
  namespaces: { network?: string; ipc?: string; uts?: string; user?: string };
  /** What the user namespace maps, where one is joined. */
  ids?: IdRange | undefined;
}

/**
 * The OCI configuration of the first process of a shared PID namespace: without privileges, in an empty root, since its
 * containers can inspect it through /proc.
 */
export function pauseSpec({ rootfs, init, cgroup, namespaces, ids }: PauseBundle): OciSpec {
  const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
  const joined = Object.entries(namespaces) as ['network' | 'ipc' | 'uts' | 'user', string][];
  const mappings = ids === undefined ? [] : [{ containerID: 0, hostID: ids.hostId, size: ids.size }];
  return {
    ociVersion: '1.0.2',
    root: { path: rootfs, readonly: true },
    process: {
      terminal: false,
      user: { uid: pauseId(ids), gid: pauseId(ids) },
      args: ['/init', '-P'],
      env: ['PATH=/'],
      cwd: '/',
      capabilities: none,
      noNewPrivileges: true,
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: ['ro', 'nosuid', 'noexec', 'nodev'] },
      {
        destination: '/dev',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['ro', 'nosuid', 'noexec', 'mode=755', 'size=64k'],
      },
      { destination: '/init', type: 'bind', source: init, options: ['bind', 'ro', 'nosuid', 'nodev'] },
    ],
    linux: {
      namespaces: [{ type: 'pid' }, { type: 'mount' }, ...joined.map(([type, path]) => ({ type, path }))],
      ...(mappings.length > 0 && { uidMappings: mappings, gidMappings: mappings }),
      cgroupsPath: cgroup,
      resources: {},
      maskedPaths: ['/proc/sys', '/proc/acpi', '/proc/kcore', '/proc/keys', '/proc/sysrq-trigger', '/proc/timer_list'],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq'],
      seccomp: pauseSeccomp(),
    },
  };
}
