import { readFile } from 'node:fs/promises';

/** One mounted cgroup hierarchy (cgroups(7)). */
export interface CgroupHierarchy {
  version: 1 | 2;
  /** Where its root is mounted. */
  mountPoint: string;
  /** v1: the controllers or the name (`name=systemd`) bound to it; empty for v2. */
  controllers: string[];
  /**
   * The cgroup of process 1 here, without systemd's `/init.scope`: `''` for the root. liblxc takes its "absolute" cgroup
   * paths below it.
   */
  initPath: string;
}

/** `unified`: v2 alone; `legacy`: v1 alone; `hybrid`: v2 beside v1 controllers. */
export type CgroupLayout = 'unified' | 'legacy' | 'hybrid';

let cached: Promise<CgroupHierarchy[]> | undefined;

/**
 * The hierarchies mounted at the first call; later mounts are ignored, since a machine mounts them at boot.
 * @throws Error when there is none.
 */
export function cgroupHierarchies(): Promise<CgroupHierarchy[]> {
  cached ??= read().catch((error: unknown) => {
    cached = undefined;
    throw error;
  });
  return cached;
}

/** The kinds of mounted hierarchies. */
export function layoutOf(hierarchies: readonly CgroupHierarchy[]): CgroupLayout {
  const versions = new Set(hierarchies.map(({ version }) => version));
  if (versions.size === 2) return 'hybrid';
  return versions.has(2) ? 'unified' : 'legacy';
}

async function read(): Promise<CgroupHierarchy[]> {
  const [mounts, membership] = await Promise.all([
    readFile('/proc/self/mountinfo', 'utf8'),
    readFile('/proc/1/cgroup', 'utf8'),
  ]);
  const found = parseHierarchies(mounts, membership);
  if (found.length === 0) throw new Error('no cgroup hierarchy is mounted below /sys/fs/cgroup');
  return found;
}

/**
 * Parses the contents of `/proc/self/mountinfo` (proc(5)) and `/proc/1/cgroup` (cgroups(7)). A hierarchy mounted twice
 * counts once.
 */
export function parseHierarchies(mountinfo: string, initMembership: string): CgroupHierarchy[] {
  const initPaths = new Map<string, string>();
  for (const line of initMembership.split('\n')) {
    const match = /^\d+:([^:]*):(\/.*)$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) {
      initPaths.set(match[1], match[2].replace(/\/init\.scope$/, '').replace(/^\/$/, ''));
    }
  }
  const byMountPoint = new Map<string, { key: string; hierarchy: CgroupHierarchy }>();
  for (const line of mountinfo.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const fields = left.split(' ');
    const [type, , superOptions = ''] = right.split(' ');
    const mountPoint = unescape(fields[4] ?? '');
    if (fields[3] !== '/' || !(mountPoint === '/sys/fs/cgroup' || mountPoint.startsWith('/sys/fs/cgroup/'))) continue;
    // A later mount at the same path hides the earlier one.
    byMountPoint.delete(mountPoint);
    if (type === 'cgroup2') {
      byMountPoint.set(mountPoint, {
        key: '',
        hierarchy: { version: 2, mountPoint, controllers: [], initPath: initPaths.get('') ?? '' },
      });
    } else if (type === 'cgroup') {
      const key = [...initPaths.keys()].find((name) => name !== '' && sameOptions(name, superOptions));
      if (key === undefined) continue;
      const hierarchy = {
        version: 1 as const,
        mountPoint,
        controllers: key.split(','),
        initPath: initPaths.get(key) ?? '',
      };
      byMountPoint.set(mountPoint, { key, hierarchy });
    }
  }
  const byKey = new Map([...byMountPoint.values()].map(({ key, hierarchy }) => [key, hierarchy]));
  return [...byKey.values()];
}

/** Whether a mount's options include all controllers that /proc/1/cgroup names for a hierarchy. */
function sameOptions(name: string, superOptions: string): boolean {
  const options = new Set(superOptions.split(','));
  return name.split(',').every((controller) => options.has(controller));
}

/** Decodes the octal escapes of mountinfo. */
function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
