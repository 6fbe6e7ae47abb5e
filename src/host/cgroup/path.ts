import { invalidArgument } from '../../core/model/errors.ts';
import type { CgroupHierarchy } from './hierarchies.ts';

/**
 * Checks the path of a cgroup below its hierarchy's root, such as `/kubepods/burstable/pod1`, and gives it without doubled
 * or trailing slashes. Only letters, digits and `_ . : @ + = , -` may stand between the slashes, so that the path can go into
 * configuration files and command lines as it is. `field` names where it came from.
 * @throws CriError INVALID_ARGUMENT for anything else.
 */
export function checkCgroupPath(path: string, field: string): string {
  if (!path.startsWith('/')) throw invalidArgument(field, `${JSON.stringify(path)} is not an absolute cgroup path`);
  const parts = path.split('/').filter((part) => part !== '');
  const bad = parts.find((part) => !isCgroupName(part));
  if (bad !== undefined) {
    const message = `${JSON.stringify(path)} has the part ${JSON.stringify(bad)}, which is not a valid cgroup name`;
    throw invalidArgument(field, message);
  }
  return `/${parts.join('/')}`;
}

/** True for a result of {@link checkCgroupPath} except the root: a cgroup below its hierarchy's root. */
export function isCgroupPath(path: string): boolean {
  const [root, ...parts] = path.split('/');
  return root === '' && parts.length > 0 && parts.every(isCgroupName);
}

function isCgroupName(name: string): boolean {
  return name !== '.' && name !== '..' && name.length <= 255 && /^[\w.:@+=,-]+$/.test(name);
}

/** The directory of a checked cgroup path in each hierarchy. */
export function cgroupDirectories(path: string, hierarchies: readonly CgroupHierarchy[]): string[] {
  return hierarchies.map(({ mountPoint }) => mountPoint + path);
}
