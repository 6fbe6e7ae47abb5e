import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fault } from '../http/api-error.ts';
import { kinds, type Kind } from '../config/kind.ts';

/** Where a guest's configuration lies. */
export interface GuestRef {
  readonly node: string;
  readonly kind: Kind;
  readonly vmid: number;
}

/**
 * The guests' configuration files, `nodes/NODE/{lxc,qemu-server}/VMID.conf` below a directory. The files are the truth:
 * who changes, adds or deletes one is another writer of the cluster, and the next request sees it.
 */
export class GuestFiles {
  readonly #root: string;
  readonly #nodes: readonly string[];

  constructor(root: string, nodes: readonly string[]) {
    this.#root = root;
    this.#nodes = nodes;
    for (const node of nodes) {
      for (const kind of kinds) mkdirSync(join(root, 'nodes', node, kind.directory), { recursive: true });
    }
  }

  /** The path of a guest's file; it need not exist. */
  path({ node, kind, vmid }: GuestRef): string {
    return join(this.#root, 'nodes', node, kind.directory, `${vmid}.conf`);
  }

  /** Every guest, by node, kind and number. */
  list(): GuestRef[] {
    return this.#nodes.flatMap((node) =>
      kinds.flatMap((kind) =>
        readdirSync(join(this.#root, 'nodes', node, kind.directory))
          .map((file) => /^([1-9]\d{2,8})\.conf$/.exec(file)?.[1])
          .filter((vmid) => vmid !== undefined)
          .map((vmid) => ({ node, kind, vmid: Number(vmid) }))
          .sort((a, b) => a.vmid - b.vmid),
      ),
    );
  }

  /** The guest `vmid` on whatever node; undefined when there is none. */
  find(vmid: number): GuestRef | undefined {
    for (const node of this.#nodes) {
      for (const kind of kinds) {
        const ref = { node, kind, vmid };
        if (existsSync(this.path(ref))) return ref;
      }
    }
    return undefined;
  }

  /** The file's text; undefined when there is none. */
  read(ref: GuestRef): string | undefined {
    try {
      return readFileSync(this.path(ref), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  write(ref: GuestRef, text: string): void {
    writeFileSync(this.path(ref), text);
  }

  /**
   * Creates the file: whoever does it first has the VMID, cluster-wide.
   * @throws ApiError when a guest has it.
   */
  create(ref: GuestRef, text: string): void {
    const owner = this.find(ref.vmid);
    if (owner !== undefined) {
      throw fault(`${owner.kind.label} ${ref.vmid} already exists on node '${owner.node}'`);
    }
    writeFileSync(this.path(ref), text, { flag: 'wx' });
  }

  remove(ref: GuestRef): void {
    rmSync(this.path(ref), { force: true });
  }

  /** Moves the guest to another node, as a migration does last. */
  move(ref: GuestRef, node: string): void {
    renameSync(this.path(ref), this.path({ ...ref, node }));
  }
}
