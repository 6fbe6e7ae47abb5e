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
import type { DirectoryConfig } from '../state/store.ts';
import type { Allocation, Feature, FeatureOptions, Space, Storage, Volume } from './storage.ts';

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

/** A storage with files and directories below its path, which is below the cluster's own directory. */
export class DirectoryStorage implements Storage {
  readonly #root: string;
  readonly #id: string;
  readonly #config: DirectoryConfig;

  constructor(root: string, id: string, config: DirectoryConfig) {
    this.#root = root;
    this.#id = id;
    this.#config = config;
    const base = join(root, config.path);
    for (const directory of ['images', ...Object.values(directories)])
      mkdirSync(join(base, directory), { recursive: true });
  }

  added(): Promise<void> {
    return Promise.resolve();
  }

  activate(): Promise<void> {
    return Promise.resolve();
  }

  /** The room of the file system that it is on; undefined where its directory is gone, as that of a server that is. */
  async space(): Promise<Space | undefined> {
    const directory = join(this.#root, this.#config.path);
    if (!existsSync(directory)) return undefined;
    const { bsize, blocks, bfree, bavail } = statfsSync(directory);
    return { total: blocks * bsize, used: (blocks - bfree) * bsize, avail: bavail * bsize };
  }

  path(name: string): string {
    const [kind = '', ...file] = name.split('/');
    const { path } = this.#config;
    if (/^\d+$/.test(kind) && file.length === 1) return join(path, 'images', name);
    const directory = directories[kind];
    if (directory === undefined || file.length !== 1) throw fault(`unable to parse directory volume name '${name}'`);
    return join(path, directory, file[0]!);
  }

  file(name: string): string {
    return join(this.#root, this.path(name));
  }

  owner(name: string): number | undefined {
    const [, owner] = /^(\d+)\//.exec(name) ?? [];
    return owner === undefined ? undefined : Number(owner);
  }

  async stat(name: string): Promise<Volume | undefined> {
    return this.#look(name);
  }

  async images(vmid?: number): Promise<Volume[]> {
    const base = join(this.#root, this.#config.path, 'images');
    const owners = vmid === undefined ? readdirSync(base).filter((name) => /^\d+$/.test(name)) : [String(vmid)];
    return owners.flatMap((owner) =>
      existsSync(join(base, owner))
        ? this.#looks(readdirSync(join(base, owner)).map((name) => `${owner}/${name}`))
        : [],
    );
  }

  files(): Volume[] {
    const { path, content } = this.#config;
    return content
      .filter((type) => directories[type] !== undefined)
      .flatMap((type) =>
        this.#looks(readdirSync(join(this.#root, path, directories[type]!)).map((name) => `${type}/${name}`)),
      );
  }

  /** Makes a sparse file, or a directory for the format `subvol`. */
  async allocate({ vmid, format, size, name }: Allocation): Promise<string> {
    const volume = `${vmid}/${name ?? this.#freeName(vmid, format)}`;
    const file = this.file(volume);
    if (existsSync(file)) throw fault(`disk image '${this.path(volume)}' already exists`);
    mkdirSync(dirname(file), { recursive: true });
    if (format === 'subvol') mkdirSync(file);
    else {
      writeFileSync(file, '', { flag: 'wx' });
      truncateSync(file, size);
    }
    return volume;
  }

  async free(name: string): Promise<void> {
    rmSync(this.file(name), { recursive: true, force: true });
  }

  async resize(name: string, size: number): Promise<void> {
    truncateSync(this.file(name), size);
  }

  async makeBase(name: string): Promise<string> {
    if (!existsSync(this.file(name))) throw fault(`volume '${this.#id}:${name}' does not exist`);
    const base = name.replace(/\/vm-/, '/base-');
    if (base !== name) renameSync(this.file(name), this.file(base));
    return base;
  }

  clone(name: string): Promise<string> {
    return Promise.reject(fault(`Linked clone feature for '${this.#id}:${name}' is not available`));
  }

  isBaseInUse(_name: string): Promise<boolean> {
    return Promise.resolve(false);
  }

  has(feature: Feature, name: string, { guest }: FeatureOptions): boolean {
    if (feature !== 'snapshot') return feature !== 'clone';
    return this.#config.type === 'btrfs' || (guest === 'qemu' && name.endsWith('.qcow2'));
  }

  /** Snapshots keep nothing here: those of guests keep their configuration alone. */
  snapshot(_name: string): Promise<void> {
    return Promise.resolve();
  }

  deleteSnapshot(_name: string): Promise<void> {
    return Promise.resolve();
  }

  checkRollback(_name: string): Promise<void> {
    return Promise.resolve();
  }

  rollback(_name: string): Promise<void> {
    return Promise.resolve();
  }

  snapshotOf(_name: string): undefined {
    return undefined;
  }

  activateVolume(_name: string): Promise<void> {
    return Promise.resolve();
  }

  #freeName(vmid: number, format: string): string {
    const directory = dirname(this.file(`${vmid}/any`));
    const names = existsSync(directory) ? readdirSync(directory) : [];
    const taken = new Set(names.map((name) => /-disk-(\d+)/.exec(name)?.[1]));
    let number = 0;
    while (taken.has(String(number))) number += 1;
    return `${format === 'subvol' ? 'subvol' : 'vm'}-${vmid}-disk-${number}.${extension[format]!}`;
  }

  #look(name: string): Volume | undefined {
    if (!existsSync(this.file(name))) return undefined;
    const status = statSync(this.file(name));
    const [owner = '', file = ''] = name.split('/');
    const vmid = this.owner(name);
    const image = status.isDirectory() ? 'subvol' : file.split('.').pop()!;
    return {
      volid: `${this.#id}:${name}`,
      format: vmid === undefined ? formatOf(owner, file) : image,
      size: status.isDirectory() ? 0 : status.size,
      used: status.isDirectory() ? 0 : status.blocks * 512,
      // A directory of btrfs has no time of its creation.
      ...(status.isDirectory() && this.#config.type === 'btrfs' ? {} : { ctime: Math.floor(status.ctimeMs / 1000) }),
      ...(vmid === undefined ? { content: owner } : { vmid, parent: null }),
    };
  }

  #looks(names: readonly string[]): Volume[] {
    return names.map((name) => this.#look(name)).filter((volume) => volume !== undefined);
  }
}
