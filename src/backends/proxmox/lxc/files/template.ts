import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { failedPrecondition, unavailable } from '../../../../core/model/errors.ts';
import { padding, type TarEntry } from '../../../../utils/tar/header.ts';
import { END_OF_ARCHIVE, formatEntry } from '../../../../utils/tar/writer.ts';
import type { StorageConfig } from '../../../proxmox-api.ts';
import type { ProxmoxNode } from '../../../proxmox-node.ts';
import { placeFile } from './place-file.ts';

/** The shell of `pct enter`; without a static one the guest has none. */
const BUSYBOX = '/bin/busybox';
const APPLETS = ['sh', 'cat', 'grep', 'hostname', 'ip', 'ls', 'netstat', 'nslookup', 'ping', 'ps', 'wget'];

/** Storages on which a container of size 0 is a directory or a dataset without a limit; others need a size. */
const WITHOUT_SIZE = ['dir', 'btrfs', 'cephfs', 'cifs', 'nfs', 'zfspool'];

/** What guests are made of on a node's storages. */
export interface GuestTemplate {
  /** Volume of the archive, `STORAGE:vztmpl/FILE`. */
  ostemplate: string;
  /** The value of `rootfs` for a new guest. */
  rootfs: string;
}

/** The template of pods' guests: a pause process, a shell if there is a static one, and mount points. */
export class Template {
  readonly #init: string;
  #archive: Promise<{ name: string; data: Buffer }> | undefined;

  /** @param init path of a statically linked init with a pause mode `-P`. */
  constructor(init: string) {
    this.#init = init;
  }

  /**
   * Places the archive on the node's storage of templates, once for each version of it.
   * @throws CriError UNAVAILABLE when `init` is missing; FAILED_PRECONDITION for a storage that keeps no files.
   */
  async place(
    configs: readonly StorageConfig[],
    { storage, templateStorage }: Pick<ProxmoxNode, 'storage' | 'templateStorage'>,
  ): Promise<GuestTemplate> {
    const configOf = (name: string, key: string) => {
      const found = configs.find((config) => config.storage === name);
      if (found !== undefined) return found;
      throw failedPrecondition(`proxmox.${key}: there is no storage ${name}, or the token may not see it`);
    };
    const { path } = configOf(templateStorage, 'template_storage');
    if (path === undefined) {
      throw failedPrecondition(
        `proxmox.template_storage: storage ${templateStorage} keeps no files; name a directory storage`,
      );
    }
    const { name, data } = await this.#built();
    await placeFile(`${path}/template/cache/${name}`, data, 0o644);
    const size = WITHOUT_SIZE.includes(configOf(storage, 'storage').type) ? 0 : 1;
    return { ostemplate: `${templateStorage}:vztmpl/${name}`, rootfs: `${storage}:${String(size)}` };
  }

  /** The name of the archive, which says its content. @throws CriError UNAVAILABLE when `init` is missing. */
  async name(): Promise<string> {
    return (await this.#built()).name;
  }

  #built(): Promise<{ name: string; data: Buffer }> {
    this.#archive ??= this.#build().catch((error: unknown) => {
      this.#archive = undefined;
      throw error;
    });
    return this.#archive;
  }

  async #build(): Promise<{ name: string; data: Buffer }> {
    const init = await readFile(this.#init).catch((cause: unknown) => {
      throw unavailable(`${this.#init} not found; install the Debian package catatonit`, cause);
    });
    const busybox = await readFile(BUSYBOX).catch(() => undefined);
    const parts: Buffer[] = [];
    const add = (type: TarEntry['type'], name: string, mode: number, content = Buffer.alloc(0), linkName = '') => {
      const ids = { uid: 0, gid: 0, mtime: '0', deviceMajor: 0, deviceMinor: 0, xattrs: new Map<string, Buffer>() };
      parts.push(
        formatEntry({ type, name, linkName, mode, size: content.length, ...ids }),
        content,
        Buffer.alloc(padding(content.length)),
      );
    };
    for (const name of ['bin', 'dev', 'etc', 'proc', 'run', 'sys', 'tmp', 'var']) add('directory', `${name}/`, 0o755);
    // Not readable: then its process is not dumpable, and nobody of its user may trace it (ptrace(2)).
    add('file', 'init', 0o711, init);
    if (busybox !== undefined && isStatic(busybox)) {
      add('file', 'bin/busybox', 0o755, busybox);
      for (const applet of APPLETS) add('symlink', `bin/${applet}`, 0o777, undefined, 'busybox');
    }
    const data = await promisify(gzip)(Buffer.concat([...parts, END_OF_ARCHIVE]));
    const hash = createHash('sha256').update(data).digest('hex').slice(0, 12);
    const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
    return { name: `proxmox-lxcri-pod_${hash}_${arch}.tar.gz`, data };
  }
}

/** PT_INTERP of elf(5): the program header of a program that needs a loader. */
const INTERPRETER = 3;

/** Whether a 64-bit little-endian ELF program needs no loader (elf(5)). */
function isStatic(program: Buffer): boolean {
  if (program.length < 64 || program.readUInt32BE(0) !== 0x7f454c46) return false;
  const offset = Number(program.readBigUInt64LE(32));
  const [size, count] = [program.readUInt16LE(54), program.readUInt16LE(56)];
  for (let index = 0; index < count; index++) {
    const at = offset + index * size;
    if (at + 4 > program.length || program.readUInt32LE(at) === INTERPRETER) return false;
  }
  return true;
}
