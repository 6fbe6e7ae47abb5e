import type { IdRange } from '../core/model/id-range.ts';

/** The user and group of pause processes, conventionally unused by images; registry.k8s.io/pause has the same. */
const PAUSE_ID = 65_535;

/**
 * What a pause process never does: make processes, sockets, mounts and namespaces, look into other processes, change the
 * kernel. A list of what is refused and not of what is allowed, since liblxc loads it before it has finished its own set-up.
 */
const refused = [
  'accept4',
  'add_key',
  'bind',
  'bpf',
  'chroot',
  'clone',
  'clone3',
  'connect',
  'delete_module',
  'execveat',
  'fanotify_init',
  'finit_module',
  'fsconfig',
  'fsmount',
  'fsopen',
  'fspick',
  'init_module',
  'io_uring_enter',
  'io_uring_register',
  'io_uring_setup',
  'ioctl',
  'kcmp',
  'kexec_file_load',
  'kexec_load',
  'keyctl',
  'listen',
  'lookup_dcookie',
  'mount',
  'mount_setattr',
  'move_mount',
  'name_to_handle_at',
  'open_by_handle_at',
  'open_tree',
  'perf_event_open',
  'pidfd_getfd',
  'pidfd_open',
  'pivot_root',
  'process_madvise',
  'process_vm_readv',
  'process_vm_writev',
  'ptrace',
  'quotactl',
  'reboot',
  'request_key',
  'setns',
  'settimeofday',
  'shmat',
  'socket',
  'socketpair',
  'swapoff',
  'swapon',
  'syslog',
  'umount2',
  'unshare',
  'userfaultfd',
  // Other architectures have only clone.
  ...(process.arch === 'x64' ? ['fork', 'vfork'] : []),
];

/** errno(3). */
const EPERM = 1;

/** The user and group id, inside the pod's user namespace, of its pause process: 65535, or the last one that is mapped. */
export function pauseId(ids: IdRange | undefined): number {
  return ids === undefined ? PAUSE_ID : Math.min(PAUSE_ID, ids.size - 1);
}

/** The seccomp filter of a pause process as the OCI runtime specification has it. */
export function pauseSeccomp(): object {
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [{ names: refused, action: 'SCMP_ACT_ERRNO', errnoRet: EPERM }],
  };
}

/** The same filter as liblxc reads it (lxc.container.conf(5), SECCOMP CONFIGURATION). */
export function lxcPauseSeccomp(): string {
  return ['2', 'denylist', ...refused.map((name) => `${name} errno ${String(EPERM)}`), ''].join('\n');
}
