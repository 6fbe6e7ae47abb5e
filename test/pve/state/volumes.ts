import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fault } from '../http/api-error.ts';
import type { StorageConfig, Store } from './store.ts';

/** A file or directory of a storage. */
export interface Volume {
  readonly volid: string;
  readonly format: string;
  /** Bytes. */
  readonly size: number;
  readonly used: number;
  /** Seconds since the epoch. */
  readonly ctime: number;
  /** The guest that owns it; only images have one. */
  readonly vmid?: number;
  /** Only what is no image has one. */
  readonly content?: string;
}

const directories: Record<string, string> = {
  vztmpl: 'template/cache',
  iso: 'template/iso',
  backup: 'dump',
  snippets: 'snippets',
  import: 'import',
};

function formatOf(content: string, name: string): string {
  if (content === 'iso') return 'iso';
  if (content === 'snippets') return 'snippet';
  const [, packed = ''] = /\.tar\.(gz|xz|zst|bz2)$/.exec(name) ?? [];
  return packed === '' ? (name.split('.').pop() ?? '') : `t${packed}`;
}

const extension: Record<string, string> = { raw: 'raw', qcow2: 'qcow2', vmdk: 'vmdk', subvol: 'subvol' };

/** Volumes of storages that are directories; their files lie below the cluster's own directory. */
export class Volumes {
  readonly #root: string;
  readonly #store: Store;

  constructor(root: string, store: Store) {
    this.#root = root;
    this.#store = store;
    for (const storage of Object.keys(store.storages)) this.prepare(storage);
  }

  /** @throws ApiError when there is no such storage. */
  config(storage: string): StorageConfig {
    const config = this.#store.storages[storage];
    if (config === undefined) throw fault(`storage '${storage}' does not exist`);
    return config;
  }

  /** Makes the directories of a storage. */
  prepare(storage: string): void {
    const base = join(this.#root, this.config(storage).path);
    for (const directory of ['images', ...Object.values(directories)])
      mkdirSync(join(base, directory), { recursive: true });
  }

  /** Size of the storage's file system in bytes. */
  space(storage: string): { total: number; used: number; avail: number } {
    const { bsize, blocks, bfree, bavail } = statfsSync(join(this.#root, this.config(storage).path));
    return { total: blocks * bsize, used: (blocks - bfree) * bsize, avail: bavail * bsize };
  }

  /** The path of a volume as the node's messages say it. */
  path(volid: string): string {
    const [storage = '', ...rest] = volid.split(':');
    const name = rest.join(':');
    const [kind = '', ...file] = name.split('/');
    const { path } = this.config(storage);
    if (/^\d+$/.test(kind) && file.length === 1) return join(path, 'images', name);
    const directory = directories[kind];
    if (directory === undefined || file.length !== 1) throw fault(`unable to parse directory volume name '${name}'`);
    return join(path, directory, file[0]!);
  }

  /** Where the volume is on this machine. */
  file(volid: string): string {
    return join(this.#root, this.path(volid));
  }

  exists(volid: string): boolean {
    return existsSync(this.file(volid));
  }

  /** Where an upload or a download goes on this machine. */
  target(storage: string, content: string, name: string): string {
    return this.file(`${storage}:${content}/${name}`);
  }

  /** The first free name for a disk of `vmid`. */
  freeName(storage: string, vmid: number, format: string): string {
    const taken = new Set(this.images(storage, vmid).map(({ volid }) => /-disk-(\d+)/.exec(volid)?.[1]));
    let number = 0;
    while (taken.has(String(number))) number += 1;
    return `${format === 'subvol' ? 'subvol' : 'vm'}-${vmid}-disk-${number}.${extension[format]!}`;
  }

  /**
   * Allocates a volume: a sparse file, or a directory for the format `subvol`.
   * @param size bytes
   * @throws ApiError when one of the name exists.
   */
  allocate(storage: string, vmid: number, name: string, format: string, size: number): string {
    const volid = `${storage}:${vmid}/${name}`;
    const file = this.file(volid);
    if (existsSync(file)) throw fault(`disk image '${this.path(volid)}' already exists`);
    mkdirSync(dirname(file), { recursive: true });
    if (format === 'subvol') mkdirSync(file);
    else {
      writeFileSync(file, '', { flag: 'wx' });
      truncateSync(file, size);
    }
    return volid;
  }

  /** Frees a volume; one that is gone already is nothing to do. */
  free(volid: string): void {
    rmSync(this.file(volid), { recursive: true, force: true });
  }

  /** @param size bytes */
  resize(volid: string, size: number): void {
    truncateSync(this.file(volid), size);
  }

  /** Renames a volume within its directory and returns its new name. */
  rename(volid: string, name: string): string {
    const renamed = volid.replace(/[^/]+$/, name);
    if (renamed !== volid) renameSync(this.file(volid), this.file(renamed));
    return renamed;
  }

  /** One volume; undefined when it does not exist. */
  stat(volid: string): Volume | undefined {
    if (!this.exists(volid)) return undefined;
    const status = statSync(this.file(volid));
    const [, owner, name = ''] = /:([^/]+)\/(.+)$/.exec(volid) ?? [];
    const image = /^\d+$/.test(owner ?? '');
    const format = image ? (status.isDirectory() ? 'subvol' : name.split('.').pop()!) : formatOf(owner!, name);
    return {
      volid,
      format,
      size: status.isDirectory() ? 0 : status.size,
      used: status.isDirectory() ? 0 : status.blocks * 512,
      ctime: Math.floor(status.ctimeMs / 1000),
      ...(image ? { vmid: Number(owner) } : { content: owner! }),
    };
  }

  /** The images of a storage, of one guest or of all. */
  images(storage: string, vmid?: number): Volume[] {
    const base = join(this.#root, this.config(storage).path, 'images');
    const owners = vmid === undefined ? readdirSync(base).filter((name) => /^\d+$/.test(name)) : [String(vmid)];
    return owners.flatMap((owner) =>
      existsSync(join(base, owner))
        ? this.#stats(readdirSync(join(base, owner)).map((name) => `${storage}:${owner}/${name}`))
        : [],
    );
  }

  /** What is no image: templates, ISO images, backups. */
  files(storage: string): Volume[] {
    const { path, content } = this.config(storage);
    return content
      .filter((type) => directories[type] !== undefined)
      .flatMap((type) =>
        this.#stats(
          readdirSync(join(this.#root, path, directories[type]!)).map((name) => `${storage}:${type}/${name}`),
        ),
      );
  }

  #stats(volids: readonly string[]): Volume[] {
    return volids.map((volid) => this.stat(volid)).filter((volume) => volume !== undefined);
  }
}
