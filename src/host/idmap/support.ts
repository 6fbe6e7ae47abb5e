import { native } from '../native/helper.ts';
import { messageOf } from '../../utils/errors.ts';

/** Any range works: nothing is mounted. */
const TRIED = { hostId: 65_536, size: 65_536 };

/**
 * Why the filesystems of `paths` do not support idmapped mounts (mount_setattr(2), MOUNT_ATTR_IDMAP), each undefined
 * when it does. Nothing is mounted visibly.
 */
export async function idmapProblems(paths: readonly string[]): Promise<(string | undefined)[]> {
  if (paths.length === 0) return [];
  const steps = paths.map((source) => ({ do: 'idmap', source, map: TRIED, limitMs: 30_000 }) as const);
  try {
    const results = await native.request(steps, { sideBySide: true });
    return results.map(({ status, problem }) => (status === 'done' ? undefined : problem || `was not done: ${status}`));
  } catch (error) {
    return paths.map(() => messageOf(error));
  }
}
