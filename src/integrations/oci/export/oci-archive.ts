import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { ImageRecord } from '../../../core/model/image.ts';
import { BLOCK, padding, type TarEntry } from '../../../utils/tar/header.ts';
import { END_OF_ARCHIVE, formatEntry } from '../../../utils/tar/writer.ts';

/** The small files of an archive with the image and this one layer, by name, and the digest of its manifest. */
export function documentsOf(
  record: ImageRecord,
  { diffId, digest, size }: { diffId: string; digest: string; size: number },
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
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size }],
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

/** The archive's bytes (OCI image layout): the small files, then the layer. */
export async function* archiveOf(
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
