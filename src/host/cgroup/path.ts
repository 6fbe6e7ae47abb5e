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
  for (const part of parts) {
    if (part === '.' || part === '..' || !/^[\w.:@+=,-]+$/.test(part) || part.length > 255) {
      throw invalidArgument(
        field,
        `${JSON.stringify(path)} has the part ${JSON.stringify(part)}, which no cgroup may be named`,
      );
    }
  }
  return `/${parts.join('/')}`;
}

/** The folder of a checked cgroup path in each hierarchy. */
export function cgroupDirectories(path: string, hierarchies: readonly CgroupHierarchy[]): string[] {
  return hierarchies.map(({ mountPoint }) => mountPoint + path);
}
