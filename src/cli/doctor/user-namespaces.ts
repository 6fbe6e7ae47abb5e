import type { Config } from '../../core/config/schema.ts';
import { firstClosedDirectory } from '../../utils/fs/searchable.ts';
import { idmapProblems } from '../../host/idmap/support.ts';
import { type Finding, ok, warning } from '../../core/model/finding.ts';
import { nearest } from './places.ts';

/** The requirements of pods with user namespaces: a filesystem with idmapped mounts, and directories that other users can enter. */
export async function checkUserNamespaces({ root, state }: Config): Promise<Finding> {
  const subject = 'user namespaces';
  const without = 'pods with hostUsers: false are refused';
  const places = [await nearest(root), await nearest(state)] as const;
  for (const place of places) {
    const closed = await firstClosedDirectory(place);
    if (closed === undefined) continue;
    return warning(subject, `other users cannot enter ${closed}; ${without}`, `chmod o+x ${closed}`);
  }
  const [problem] = await idmapProblems([places[0]]);
  if (problem === undefined) return ok(subject, `the filesystem of ${places[0]} supports idmapped mounts`);
  const remedy = 'put "root" on ext4, xfs or btrfs, with Linux 5.19 or later';
  return warning(
    subject,
    `the filesystem of ${places[0]} does not support idmapped mounts (${problem}); ${without}`,
    remedy,
  );
}
