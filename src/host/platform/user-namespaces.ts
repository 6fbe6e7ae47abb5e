import type { UserNamespaces } from '../../core/model/platform.ts';
import type { RootfsStore } from '../../core/model/rootfs.ts';
import { firstClosedFolder } from '../../utils/fs/searchable.ts';

/** Whether this host can give pods user namespaces. */
export class HostUserNamespaces implements UserNamespaces {
  readonly #rootfs: Pick<RootfsStore, 'idmapProblem'>;
  readonly #folders: readonly string[];

  /** `folders`: where root file systems and namespaces lie, which the root of a user namespace must reach. */
  constructor(rootfs: Pick<RootfsStore, 'idmapProblem'>, folders: readonly string[]) {
    this.#rootfs = rootfs;
    this.#folders = folders;
  }

  async problem(): Promise<string | undefined> {
    for (const path of this.#folders) {
      const closed = await firstClosedFolder(path);
      if (closed === undefined) continue;
      return `the folder ${closed} is closed to users other than root: chmod o+x ${closed}`;
    }
    return this.#rootfs.idmapProblem();
  }
}
