import { stat } from 'node:fs/promises';
import type { UserNamespaces } from '../../core/model/platform.ts';
import { trialId } from '../../core/model/rootfs.ts';
import type { RootfsStore } from '../../core/model/rootfs.ts';
import type { RootfsMounts } from '../../core/model/rootfs-mounts.ts';
import { messageOf } from '../../utils/errors.ts';
import { firstClosedDirectory } from '../../utils/fs/searchable.ts';

/** Any range works. */
const IDS = { hostId: 65_536, size: 65_536 };
const REMEDY = 'requires Linux 5.19 and a filesystem such as ext4, xfs, btrfs or ZFS 2.2';

export interface HostUserNamespacesOptions {
  store: Pick<RootfsStore, 'name' | 'prepare' | 'remove'>;
  mounts: RootfsMounts;
  /** Purpose in the id of the trial's root filesystem; unique among those that use the same mounts. */
  trial: string;
  /** Directories of mount points and volumes, which the root of a user namespace must reach. */
  directories: readonly string[];
}

/** Whether this host can give pods user namespaces. */
export class HostUserNamespaces implements UserNamespaces {
  readonly #options: HostUserNamespacesOptions;
  #trial: Promise<string | undefined> | undefined;

  constructor(options: HostUserNamespacesOptions) {
    this.#options = options;
  }

  async problem(): Promise<string | undefined> {
    for (const path of this.#options.directories) {
      const closed = await firstClosedDirectory(path);
      if (closed === undefined) continue;
      return `other users cannot enter the directory ${closed}; chmod o+x ${closed}`;
    }
    return (this.#trial ??= this.#try());
  }

  /** Mounts an empty root filesystem with mapped ids and checks its owner. Leaves nothing. */
  async #try(): Promise<string | undefined> {
    const { store, mounts, trial } = this.#options;
    const id = trialId(trial);
    try {
      const { uid, gid } = await stat(await mounts.mount(id, await store.prepare(id, undefined, { ids: IDS })));
      if (uid === IDS.hostId && gid === IDS.hostId) return undefined;
      return `root filesystems of ${store.name} do not support idmapped mounts; ${REMEDY}`;
    } catch (error) {
      return `mounting a root filesystem of ${store.name} with idmapped layers failed (${messageOf(error)}); ${REMEDY}`;
    } finally {
      await mounts.unmount(id);
      await store.remove(id);
    }
  }
}
