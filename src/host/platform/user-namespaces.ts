import type { UserNamespaces } from '../../core/model/platform.ts';
import type { RootfsStore } from '../../core/model/rootfs.ts';
import { firstClosedDirectory } from '../../utils/fs/searchable.ts';

/** Whether this host can give pods user namespaces. */
export class HostUserNamespaces implements UserNamespaces {
  readonly #rootfs: Pick<RootfsStore, 'idmapProblem'>;
  readonly #directories: readonly string[];

  /** `directories`: where root filesystems and namespaces lie, which the root of a user namespace must reach. */
  constructor(rootfs: Pick<RootfsStore, 'idmapProblem'>, directories: readonly string[]) {
    this.#rootfs = rootfs;
    this.#directories = directories;
  }

  async problem(): Promise<string | undefined> {
    for (const path of this.#directories) {
      const closed = await firstClosedDirectory(path);
      if (closed === undefined) continue;
      return `other users cannot enter the directory ${closed}; chmod o+x ${closed}`;
    }
    return this.#rootfs.idmapProblem();
  }
}
