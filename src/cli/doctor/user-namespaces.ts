import type { Config } from '../../core/config/schema.ts';
import { firstClosedFolder } from '../../utils/fs/searchable.ts';
import { idmapProblems } from '../../host/idmap/support.ts';
import { type Finding, ok, warning } from './finding.ts';
import { nearest } from './places.ts';

/** What pods with user namespaces take: a file system that maps ids, and folders that their roots can pass. */
export async function checkUserNamespaces({ root, state }: Config): Promise<Finding> {
  const subject = 'user namespaces';
  const without = 'pods with hostUsers: false are refused';
  const places = [await nearest(root), await nearest(state)] as const;
  for (const place of places) {
    const closed = await firstClosedFolder(place);
    if (closed === undefined) continue;
    return warning(subject, `${closed} is closed to users other than root: ${without}`, `chmod o+x ${closed}`);
  }
  const [problem] = await idmapProblems([places[0]]);
  if (problem === undefined) return ok(subject, `the file system of ${places[0]} can map ids`);
  const remedy = 'put "root" on ext4, xfs or btrfs, with Linux 5.19 or later';
  return warning(subject, `the file system of ${places[0]} cannot map ids (${problem}): ${without}`, remedy);
}
