import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createHash, type Hash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { withStreams } from '../../../host/processes/with-streams.ts';
import { BLOCK, padding, type TarEntry } from '../../../utils/tar/header.ts';
import { END_OF_ARCHIVE, formatEntry } from '../../../utils/tar/writer.ts';
import { CriError, invalidArgument, StatusCode } from '../../model/errors.ts';
import { isErrno, messageOf } from '../../../utils/errors.ts';
import type { ImageRecord } from '../../model/image.ts';
import type { RootfsStore } from '../../model/rootfs.ts';

const COPY_PREFIX = 'export-';

/** Whether a copy in the rootfs store was made for an export; one found at start is left over. */
export function isExportCopy(id: string): boolean {
  return id.startsWith(COPY_PREFIX);
}

export interface ExportedImage {
  /** Digest of the manifest in the archive. */
  digest: string;
  /** Bytes of the archive. */
  size: number;
}

export interface ExportOptions {
  /** Where the archive is to be; must not exist. */
  path: string;
  /** Folder for the layer while it is made. */
  temporary: string;
  store: RootfsStore;
  signal: AbortSignal | undefined;
}

/** Of the whole root, as it would be in a container. Sorted, so that the same files give the same layer. */
const ARGUMENTS = [
  '--create',
  '--file=-',
  '--format=posix',
  '--pax-option=delete=atime,delete=ctime',
  '--numeric-owner',
  '--sort=name',
  '--xattrs',
  '--xattrs-include=user.*',
  '--xattrs-include=security.capability',
];

/**
 * Writes an image as an oci-archive with one gzip-compressed layer. Its layers as they were pulled are not kept, so the
 * digests are new ones; the configuration is the same but for the layers.
 * @throws CriError INVALID_ARGUMENT when the file exists or cannot be made; the signal's reason. Nothing stays then.
 */
export async function exportImage(record: ImageRecord, options: ExportOptions): Promise<ExportedImage> {
  const { path, temporary, store, signal } = options;
  await mkdir(temporary, { recursive: true, mode: 0o700 });
  const folder = await mkdtemp(join(temporary, 'image-'));
  const copy = `${COPY_PREFIX}${randomUUID()}`;
  const unfinished = join(dirname(path), `.${copy}.partial`);
  try {
    await claim(path, unfinished);
    const { path: root } = await store.prepare(copy, record.chainId);
    const layer = join(folder, 'layer');
    const { diffId, digest } = await writeLayer(root, layer, signal);
    const archive = documents(record, diffId, digest, (await stat(layer)).size);
    await pipeline(archiveOf(archive.files, layer, digest), createWriteStream(unfinished, { flags: 'r+' }), {
      ...(signal && { signal }),
    });
    await syncFile(unfinished);
    await rename(unfinished, path);
    return { digest: archive.manifestDigest, size: (await stat(path)).size };
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    await store.remove(copy);
    await rm(unfinished, { force: true });
    await rm(folder, { recursive: true, force: true });
  }
}

/** Makes the unfinished file, and makes sure that the finished one replaces nothing. */
async function claim(path: string, unfinished: string): Promise<void> {
  try {
    await (await open(unfinished, 'wx', 0o600)).close();
  } catch (error) {
    throw invalidArgument('path', `${JSON.stringify(path)} cannot be made: ${messageOf(error)}`);
  }
  try {
    await stat(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    throw error;
  }
  throw invalidArgument('path', `${JSON.stringify(path)} exists; name a new file`);
}

async function writeLayer(
  root: string,
  file: string,
  signal: AbortSignal | undefined,
): Promise<{ diffId: string; digest: string }> {
  const plain = createHash('sha256');
  const packed = createHash('sha256');
  const child = withStreams(
    spawn('tar', [...ARGUMENTS, `--directory=${root}`, '.'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], LC_ALL: 'C' },
    }),
  );
  const ended = endOf(child);
  ended.catch(() => undefined);
  try {
    await pipeline(
      child.stdout,
      hashing(plain),
      createGzip({ level: 6 }),
      hashing(packed),
      createWriteStream(file, { flags: 'wx', mode: 0o600 }),
      { ...(signal && { signal }) },
    );
    await ended;
  } finally {
    child.kill('SIGKILL');
  }
  return { diffId: `sha256:${plain.digest('hex')}`, digest: `sha256:${packed.digest('hex')}` };
}

function endOf(child: ChildProcessByStdio<null, Readable, Readable>): Promise<void> {
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => (words = (words + chunk.toString('utf8')).slice(-500)));
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => {
      reject(new CriError(StatusCode.UNAVAILABLE, 'cannot run tar; install GNU tar', { cause }));
    });
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`tar failed: ${words.trim() || 'it was ended'}`));
    });
  });
}

function hashing(hash: Hash): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
}

function documents(
  record: ImageRecord,
  diffId: string,
  layerDigest: string,
  layerSize: number,
): { files: [string, Buffer][]; manifestDigest: string } {
  const { architecture, os, config } = record.config;
  const keyed = (keys: readonly string[]) => Object.fromEntries(keys.map((key) => [key, {}]));
  const { Volumes, ExposedPorts, ...rest } = config;
  const image = json({
    architecture,
    os,
    config: { ...rest, Volumes: keyed(Volumes), ExposedPorts: keyed(ExposedPorts) },
    rootfs: { type: 'layers', diff_ids: [diffId] },
    history: [{ created_by: 'proxmox-lxcri export' }],
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...describe(image) },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: layerDigest, size: layerSize }],
  });
  const entry = { mediaType: 'application/vnd.oci.image.manifest.v1+json', ...describe(manifest) };
  const named = (name: string) => ({ 'org.opencontainers.image.ref.name': name, 'io.containerd.image.name': name });
  const names = record.repoTags.map((name) => ({ ...entry, annotations: named(name) }));
  const index = json({ schemaVersion: 2, manifests: names.length === 0 ? [entry] : names });
  const blob = (data: Buffer): [string, Buffer] => [blobName(describe(data).digest), data];
  return {
    files: [['oci-layout', json({ imageLayoutVersion: '1.0.0' })], ['index.json', index], blob(manifest), blob(image)],
    manifestDigest: entry.digest,
  };
}

async function* archiveOf(
  files: readonly [string, Buffer][],
  layer: string,
  layerDigest: string,
): AsyncGenerator<Buffer> {
  for (const [name, data] of files)
    yield Buffer.concat([header(name, data.length), data, Buffer.alloc(padding(data.length))]);
  const { size } = await stat(layer);
  yield header(blobName(layerDigest), size);
  yield* createReadStream(layer, { highWaterMark: 512 * BLOCK }) as AsyncIterable<Buffer>;
  yield Buffer.alloc(padding(size));
  yield END_OF_ARCHIVE;
}

function header(name: string, size: number): Buffer {
  const none = { linkName: '', uid: 0, gid: 0, mtime: '0', deviceMajor: 0, deviceMinor: 0 };
  const entry: TarEntry = { type: 'file', name, size, mode: 0o644, ...none, xattrs: new Map() };
  return formatEntry(entry);
}

function describe(data: Buffer): { digest: string; size: number } {
  return { digest: `sha256:${createHash('sha256').update(data).digest('hex')}`, size: data.length };
}

function blobName(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
