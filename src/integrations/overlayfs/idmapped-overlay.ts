import type { IdRange } from '../../core/model/id-range.ts';
import { call } from '../../host/native/call.ts';
import { MountFlag } from '../../host/native/steps.ts';

/**
 * Mounts an overlay at `target` whose layers are read and written with mapped ids: files that belong to the host's root in
 * the store belong to the root of the user namespace in the mount, and what that one writes belongs to the host's root.
 * @param options overlayfs's, with paths relative to the folder `links` of `store`; no folder of `store` that the options
 *   name is a mount.
 * @throws StepError naming the system call that the kernel refused.
 */
export async function mountIdmappedOverlay(
  store: { path: string; links: string },
  { options, target, ids, readonly }: { options: string; target: string; ids: IdRange; readonly: boolean },
): Promise<void> {
  const flags = readonly ? MountFlag.readonly : 0;
  await call([{ do: 'overlay', store: store.path, links: store.links, options, flags, target, map: ids }]);
}
