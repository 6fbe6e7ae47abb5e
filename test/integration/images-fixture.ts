import type { ExecutionContext } from 'ava';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { chainIds } from '../../src/core/lifecycle/images/image-config.ts';
import { ImageService, type ImageServiceOptions } from '../../src/core/lifecycle/images/image-service.ts';
import { mountRootfs, removeRootfs } from '../../src/core/lifecycle/rootfs-place.ts';
import type { Logger } from '../../src/core/model/logger.ts';
import { RootfsStores } from '../../src/core/lifecycle/rootfs-stores.ts';
import type { RootfsOptions, RootfsStore } from '../../src/core/model/rootfs.ts';
import { ArchiveReader } from '../../src/integrations/oci/archive-reader.ts';
import { RegistryClient, type RegistryClientOptions } from '../../src/integrations/oci/registry-client.ts';
import { OverlayStore, type OverlayStoreOptions } from '../../src/integrations/overlayfs/overlay-store.ts';
import { HostRootfsMounts } from '../../src/host/platform/rootfs-mounts.ts';
import { run } from '../../src/host/processes/run.ts';
import { removeTree } from '../../src/host/trees/remove-tree.ts';
import { systemClock } from '../../src/utils/time/system-clock.ts';
import { eventually } from '../lib/eventually.ts';
import { imageFilesBelow } from '../lib/image-files.ts';
import { recordsBelow } from '../lib/records-place.ts';
import { type BuiltImage, type EntrySpec, sha256, tarOf } from '../unit/integrations/oci/image-builder.ts';

/** Whether this runs below test/sandbox, which has private mounts. */
export const isSandboxed = process.env['PROXMOX_LXCRI_TEST_CGROUP'] !== undefined;

const drop = () => undefined;
export const silent: Logger = { debug: drop, info: drop, warn: drop, error: drop, with: () => silent };

/** A directory that is removed after the test, after anything mounted below it. */
export async function temporary(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp('/tmp/images-');
  t.teardown(async () => {
    const { stdout } = await run('findmnt', ['-rn', '-o', 'TARGET']);
    for (const path of stdout.split('\n'))
      if (path.startsWith(`${directory}/`)) await run('umount', ['-l', '--', path]);
    await removeTree(directory);
  });
  return directory;
}

const mounters = new WeakMap<OverlayStore, HostRootfsMounts>();

export async function newStore(root: string, limits: OverlayStoreOptions['limits'] = {}): Promise<OverlayStore> {
  const store = new OverlayStore({ root, logger: silent, limits });
  mounters.set(store, new HostRootfsMounts(join(root, 'mounts')));
  await store.recover();
  return store;
}

/** What mounts the root filesystems of a store of {@link newStore}. */
export function mountsOf(store: OverlayStore): HostRootfsMounts {
  return mounters.get(store)!;
}

/** Prepares and mounts a root filesystem; returns its path. */
export function mountCopy(store: OverlayStore, id: string, chainId?: string, options?: RootfsOptions): Promise<string> {
  return mountRootfs({ store, mounts: mountsOf(store) }, id, chainId, options);
}

export function removeCopy(store: OverlayStore, id: string): Promise<void> {
  return removeRootfs({ store, mounts: mountsOf(store) }, id);
}

/** Applies these archives in order. Returns their chain ids. */
export async function applyAll(store: RootfsStore, tars: readonly Buffer[]): Promise<string[]> {
  const chain = chainIds(tars.map(sha256));
  for (const [i, tar] of tars.entries()) {
    const request = { parent: chain[i - 1], chainId: chain[i]!, diffId: sha256(tar) };
    await withBlob(tar, (blob) => store.applyLayer({ ...request, blob }));
  }
  return chain;
}

/** Runs the task with the path of a file that has these bytes. */
export async function withBlob<T>(data: Buffer, task: (blob: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp('/tmp/blob-');
  try {
    await writeFile(join(directory, 'blob'), data);
    return await task(join(directory, 'blob'));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** One layer per list of entries. */
export const layers = (...specs: EntrySpec[][]) => specs.map((each) => tarOf(...each));

/** An image service with all its real parts on `root`; it appends the errors it reports to `errors`. */
export async function newService(
  t: ExecutionContext,
  root: string,
  options: Partial<RegistryClientOptions> = {},
  more: Partial<ImageServiceOptions> = {},
  errors: string[] = [],
): Promise<{ images: ImageService; store: OverlayStore }> {
  const registry = new RegistryClient({ logger: silent, retryMs: 10, ...options });
  t.teardown(() => registry.close());
  const store = await newStore(join(root, 'overlay'));
  const archives = new ArchiveReader({ temporary: join(root, 'import') });
  const logger: Logger = { ...silent, error: (message) => void errors.push(message) };
  const wiring: ImageServiceOptions = {
    records: recordsBelow(root),
    files: imageFilesBelow(root),
    sources: [registry, archives],
    stores: new RootfsStores({ used: [store], logger }),
    mounts: mountsOf(store),
    clock: systemClock,
    logger,
    ...more,
  };
  const images = new ImageService(wiring);
  await images.load();
  return { images, store };
}

/** Writes an OCI image layout directory with one image. */
export async function writeLayout(directory: string, image: BuiltImage, annotations: object = {}): Promise<string> {
  await mkdir(join(directory, 'blobs/sha256'), { recursive: true });
  for (const [digest, data] of image.blobs) await writeFile(join(directory, 'blobs/sha256', digest.slice(7)), data);
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const entry = { mediaType, digest: image.manifestDigest, size: image.manifest.length, annotations };
  await writeFile(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
  return directory;
}

/** Debian's docker-registry on a free port of 127.0.0.1; resolves with `127.0.0.1:<port>`. */
export async function startRegistry(t: ExecutionContext, directory: string): Promise<string> {
  const host = `127.0.0.1:${await freePort()}`;
  const config = {
    version: 0.1,
    log: { level: 'error' },
    storage: { filesystem: { rootdirectory: join(directory, 'registry') }, delete: { enabled: true } },
    http: { addr: host },
  };
  await writeFile(join(directory, 'registry.yml'), JSON.stringify(config));
  const registry = spawn('docker-registry', ['serve', join(directory, 'registry.yml')], { stdio: 'ignore' });
  t.teardown(() => end(registry));
  await eventually('docker-registry', async () => (await fetch(`http://${host}/v2/`).catch(() => undefined))?.ok);
  return host;
}

export async function skopeo(...args: string[]): Promise<void> {
  await run('skopeo', ['--insecure-policy', ...args], { env: { PATH: process.env['PATH'], HOME: '/nonexistent' } });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
