import { access, readFile } from 'node:fs/promises';
import { messageOf } from '../../utils/errors.ts';
import { cgroupHierarchies, layoutOf } from '../../host/cgroup/hierarchies.ts';
import { type Finding, missing, ok, warning } from '../../core/model/finding.ts';

/** Controllers that limits of containers need (cgroups(7)). */
const CONTROLLERS = ['cpu', 'cpuset', 'memory', 'pids'];

/** Numbers of the capabilities that creating containers requires (capabilities(7)). */
const CAPABILITIES = {
  CHOWN: 0,
  DAC_OVERRIDE: 1,
  FOWNER: 3,
  KILL: 5,
  SETGID: 6,
  SETUID: 7,
  NET_ADMIN: 12,
  SYS_CHROOT: 18,
  SYS_PTRACE: 19,
  SYS_ADMIN: 21,
  MKNOD: 27,
};

/** Filesystems, seccomp, capabilities and the cgroup hierarchy of this machine. */
export async function checkKernel(): Promise<Finding[]> {
  return [...(await checkFeatures()), await checkCapabilities(), ...(await checkCgroups())];
}

async function checkFeatures(): Promise<Finding[]> {
  const fileSystems = await readFile('/proc/filesystems', 'utf8');
  const seccomp = await access('/proc/sys/kernel/seccomp/actions_avail').then(
    () => true,
    () => false,
  );
  return [
    /\toverlay$/m.test(fileSystems)
      ? ok('filesystem overlay', 'supported')
      : missing('filesystem overlay', 'not supported by the kernel', 'modprobe overlay, and add it to /etc/modules'),
    seccomp
      ? ok('seccomp filters', 'supported')
      : missing('seccomp filters', 'not supported by the kernel', 'use a kernel with CONFIG_SECCOMP_FILTER'),
  ];
}

async function checkCapabilities(): Promise<Finding> {
  const status = await readFile('/proc/self/status', 'utf8');
  const mask = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const lacking = Object.entries(CAPABILITIES).filter(([, bit]) => ((mask >> BigInt(bit)) & 1n) === 0n);
  if (lacking.length > 0) {
    const names = lacking.map(([name]) => `CAP_${name}`).join(', ');
    return missing('capabilities', `this process lacks ${names}`, 'run it as root, outside of restricted containers');
  }
  const resource = ((mask >> 24n) & 1n) === 1n;
  return resource
    ? ok('capabilities', 'all required capabilities')
    : warning(
        'capabilities',
        "no CAP_SYS_RESOURCE; lower values of oom_score_adj are raised to the server's",
        'grant it if the order of OOM kills matters',
      );
}

async function checkCgroups(): Promise<Finding[]> {
  const subject = 'cgroup hierarchy';
  try {
    const hierarchies = await cgroupHierarchies();
    const layout = layoutOf(hierarchies);
    if (layout === 'hybrid') {
      const remedy =
        'boot with systemd.unified_cgroup_hierarchy=1 for v2 only, or run the server in its own mount namespace ' +
        'without /sys/fs/cgroup/unified (docs/quickstart.md)';
      return [missing(subject, 'v2 beside v1 controllers; the OCI runtime refuses hybrid hierarchies', remedy)];
    }
    const root = hierarchies[0]?.mountPoint ?? '';
    const there =
      layout === 'unified'
        ? (await readFile(`${root}/cgroup.controllers`, 'utf8')).trim().split(' ')
        : hierarchies.flatMap(({ controllers }) => controllers);
    const lacking = CONTROLLERS.filter((name) => !there.includes(name));
    const remedy = 'enable them on the kernel command line (cgroup_enable=NAME)';
    return [
      ok(subject, layout === 'unified' ? 'v2' : 'v1; kubelets from 1.35 on need failCgroupV1: false'),
      lacking.length === 0
        ? ok('cgroup controllers', CONTROLLERS.join(', '))
        : missing('cgroup controllers', `not available: ${lacking.join(', ')}`, remedy),
    ];
  } catch (error) {
    return [missing(subject, messageOf(error), 'mount one at /sys/fs/cgroup')];
  }
}
