const EPERM = 1;
const ENOSYS = 38;
/** The CLONE_NEW* flags, except that of the time namespace, which clone(2) interprets as an exit signal. */
const NAMESPACE_FLAGS = 0x7e02_0000;
const AF_VSOCK = 40;
/** Allowed values of personality(2): Linux, with and without UNAME26, and the query. */
const PERSONALITIES = [0x0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/** System calls of unprivileged programs, by subject. Names are those of syscalls(2) on every architecture. */
const ALWAYS: readonly string[] = `
accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg send
sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr
flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents
getdents64 getxattr getxattrat lchown lchown32 lgetxattr link linkat listxattr listxattrat llistxattr _llseek lremovexattr lseek
lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv
preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat renameat2
rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range
sync_file_range2 syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64
io_setup io_submit poll ppoll ppoll_time64 pselect6 pselect6_time64 select _newselect signalfd signalfd4
fanotify_mark ioctl ioprio_get ioprio_set
arch_prctl brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2
modify_ldt mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease
remap_file_pages set_mempolicy_home_node
capget capset execve execveat exit exit_group fork getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list
getrusage getsid get_thread_area gettid getuid getuid32 landlock_add_rule landlock_create_ruleset landlock_restrict_self
lsm_get_self_attr lsm_list_modules lsm_set_self_attr nice pause pidfd_open pidfd_send_signal prctl prlimit64 ptrace
process_vm_readv process_vm_writev restart_syscall riscv_flush_icache riscv_hwprobe rseq seccomp setfsgid setfsgid32 setfsuid
setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid
setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid set_thread_area set_tid_address setuid setuid32 uname
vfork wait4 waitid waitpid
sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler
sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake ipc mq_getsetattr mq_notify mq_open mq_timedreceive
mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop
semtimedop_time64 shmat shmctl shmdt shmget
kill rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn tgkill tkill
adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete timer_getoverrun timer_gettime
timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
times
arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls getrandom sysinfo
`
  .trim()
  .split(/\s+/);

/** System calls that each capability allows (capabilities(7)). */
const BY_CAPABILITY: Readonly<Record<string, readonly string[]>> = {
  CAP_BPF: ['bpf'],
  CAP_DAC_READ_SEARCH: ['open_by_handle_at'],
  CAP_PERFMON: ['perf_event_open'],
  CAP_SYSLOG: ['syslog'],
  CAP_SYS_ADMIN: [
    'bpf',
    'clone',
    'clone3',
    'fanotify_init',
    'fsconfig',
    'fsmount',
    'fsopen',
    'fspick',
    'listmount',
    'lookup_dcookie',
    'mount',
    'mount_setattr',
    'move_mount',
    'open_tree',
    'perf_event_open',
    'quotactl',
    'quotactl_fd',
    'setdomainname',
    'sethostname',
    'setns',
    'statmount',
    'syslog',
    'umount',
    'umount2',
    'unshare',
  ],
  CAP_SYS_BOOT: ['reboot'],
  CAP_SYS_CHROOT: ['chroot'],
  CAP_SYS_MODULE: ['delete_module', 'finit_module', 'init_module'],
  CAP_SYS_NICE: ['get_mempolicy', 'mbind', 'migrate_pages', 'move_pages', 'set_mempolicy'],
  CAP_SYS_PACCT: ['acct'],
  CAP_SYS_PTRACE: ['kcmp', 'pidfd_getfd', 'process_madvise'],
  CAP_SYS_RAWIO: ['ioperm', 'iopl'],
  CAP_SYS_TIME: ['clock_settime', 'clock_settime64', 'settimeofday', 'stime'],
  CAP_SYS_TTY_CONFIG: ['vhangup'],
};

const ARCHITECTURES: Readonly<Record<string, readonly string[]>> = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
};

/**
 * The RuntimeDefault filter as `linux.seccomp` of the OCI runtime specification: an allow list; everything else fails with
 * EPERM. Calls that need a capability are allowed only to containers that have it.
 * @param bounding the container's bounding set, names with CAP_.
 */
export function defaultSeccompFilter(bounding: readonly string[], architecture: string = process.arch): object {
  const granted = new Set(bounding.flatMap((name) => BY_CAPABILITY[name] ?? []));
  const argument = (index: number, op: string, value: number, valueTwo = 0) => [{ index, value, valueTwo, op }];
  const allow = (names: readonly string[], args: object[] = []) => ({ names, action: 'SCMP_ACT_ALLOW', args });
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: EPERM,
    architectures: ARCHITECTURES[architecture] ?? [],
    syscalls: [
      allow([...ALWAYS, ...granted]),
      ...PERSONALITIES.map((value) => allow(['personality'], argument(0, 'SCMP_CMP_EQ', value))),
      // AF_VSOCK reaches the hypervisor independent of network namespaces.
      allow(['socket'], argument(0, 'SCMP_CMP_NE', AF_VSOCK)),
      ...(granted.has('clone')
        ? []
        : [
            allow(['clone'], argument(0, 'SCMP_CMP_MASKED_EQ', NAMESPACE_FLAGS, 0)),
            // Its flags are in memory, which a filter cannot read; ENOSYS makes the C library use clone(2).
            { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
          ]),
    ],
  };
}
