import { chownSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { copyFile, mkdir, rm } from 'node:fs/promises';
import { hostname as nodeHostname } from 'node:os';
import { dirname, join } from 'node:path';
import type { PodDirectories, PodFileContents, PodFiles } from '../../core/model/pod-directories.ts';
import { isErrno } from '../../utils/errors.ts';
import { mountTmpfs, unmountAll } from '../mounts/mount.ts';
import { hostsFile, resolvConf } from './pod-file-texts.ts';

/** Bytes that the containers of a pod can write into its resolv.conf, hostname and hosts together. */
const FILES_BYTES = 1024 * 1024;

/** Pods' directories on this host, `<directory>/<sandbox id>`. */
export class HostPodDirectories implements PodDirectories {
  readonly #directory: string;

  /** @param directory on a filesystem that a reboot empties. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  path(sandboxId: string): string {
    return join(this.#directory, sandboxId);
  }

  async make(sandboxId: string): Promise<void> {
    await mkdir(this.path(sandboxId), { recursive: true, mode: 0o700 });
  }

  files(sandboxId: string): PodFiles {
    const directory = this.#files(sandboxId);
    return {
      resolvConf: join(directory, 'resolv.conf'),
      hostname: join(directory, 'hostname'),
      hosts: join(directory, 'hosts'),
      shm: join(directory, 'shm'),
    };
  }

  async writeFiles(sandboxId: string, contents: PodFileContents): Promise<void> {
    const { owner, dns, ips, hostNetwork, shmBytes } = contents;
    const files = this.files(sandboxId);
    const directory = this.#files(sandboxId);
    // At once: they are small, and in memory. Containers with other user ids read these files through bind mounts: the modes are
    // those of /etc.
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    // A separate filesystem, since containers can write to them, and must not fill the state directory.
    await mountTmpfs(directory, { bytes: FILES_BYTES, inodes: 16, mode: 0o755, owner: 0 });
    if (dns === undefined) await copyOr(files.resolvConf, '/etc/resolv.conf', '');
    else writeFileSync(files.resolvConf, resolvConf(dns), { mode: 0o644 });
    const name = contents.hostname || nodeHostname();
    writeFileSync(files.hostname, `${name}\n`, { mode: 0o644 });
    mkdirSync(files.shm, { recursive: true, mode: 0o1777 });
    if (shmBytes !== undefined) await mountTmpfs(files.shm, { bytes: shmBytes, mode: 0o1777, owner });
    if (hostNetwork) await copyOr(files.hosts, '/etc/hosts', hostsFile(name, []));
    else writeFileSync(files.hosts, hostsFile(name, await ips), { mode: 0o644 });
    for (const file of [files.resolvConf, files.hostname, files.hosts]) chownSync(file, owner, owner);
  }

  async unmountFiles(sandboxId: string): Promise<void> {
    await unmountAll([this.files(sandboxId).shm, this.#files(sandboxId)].filter(isFilesystem));
  }

  async remove(sandboxId: string): Promise<void> {
    await this.unmountFiles(sandboxId);
    await rm(this.path(sandboxId), { recursive: true, force: true });
  }

  #files(sandboxId: string): string {
    return join(this.path(sandboxId), 'files');
  }
}

/** Whether a filesystem of its own is mounted on this directory; false where there is none. */
function isFilesystem(directory: string): boolean {
  return existsSync(directory) && statSync(directory).dev !== statSync(dirname(directory)).dev;
}

async function copyOr(target: string, source: string, otherwise: string): Promise<void> {
  try {
    await copyFile(source, target);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
    writeFileSync(target, otherwise, { mode: 0o644 });
  }
}
