import type { RootfsStore } from '../model/rootfs.ts';
import { firstClosedFolder } from '../../utils/fs/searchable.ts';

/** Whether this machine can give pods user namespaces. */
export class UserNamespaces {
  readonly #rootfs: Pick<RootfsStore, 'idmapProblem'>;
  readonly #folders: readonly string[];

  /** `folders`: where root file systems and namespaces lie, which the root of a user namespace must reach. */
  constructor(rootfs: Pick<RootfsStore, 'idmapProblem'>, folders: readonly string[]) {
    this.#rootfs = rootfs;
    this.#folders = folders;
  }

  /** Why it cannot, with the remedy; undefined when it can. What takes long is tried once. */
  async problem(): Promise<string | undefined> {
    for (const path of this.#folders) {
      const closed = await firstClosedFolder(path);
      if (closed === undefined) continue;
      return `the folder ${closed} is closed to users other than root: chmod o+x ${closed}`;
    }
    return this.#rootfs.idmapProblem();
  }
}
