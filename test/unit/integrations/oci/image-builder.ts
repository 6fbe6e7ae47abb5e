import { createHash } from 'node:crypto';
import { padding, type TarEntry } from '../../../../src/utils/tar/header.ts';
import { END_OF_ARCHIVE, formatEntry } from '../../../../src/utils/tar/writer.ts';

export type EntrySpec = Partial<TarEntry> & { name: string; body?: string };

export function sha256(data: Buffer | string): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

/** A tar of these entries, with the names as given, however hostile. */
export function tarOf(...specs: EntrySpec[]): Buffer {
  const parts = specs.map(({ body = '', ...spec }) => {
    const content = Buffer.from(body);
    const entry: TarEntry = {
      type: 'file',
      linkName: '',
      size: content.length,
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtime: '1000000000',
      deviceMajor: 0,
      deviceMinor: 0,
      xattrs: new Map(),
      ...spec,
    };
    return Buffer.concat([formatEntry(entry), content, Buffer.alloc(padding(content.length))]);
  });
  return Buffer.concat([...parts, END_OF_ARCHIVE]);
}

export interface BuiltImage {
  blobs: Map<string, Buffer>;
  manifest: Buffer;
  manifestDigest: string;
  index: Buffer;
  indexDigest: string;
  config: Buffer;
  configDigest: string;
  layers: { digest: string; size: number; mediaType: string }[];
  diffIds: string[];
}

/** An image of uncompressed (or, with `compress`, compressed) layers, with an index that offers two platforms. */
export function buildImage(
  tars: readonly Buffer[],
  options: { compress?: (tar: Buffer) => Buffer; config?: object; mediaType?: string; architecture?: string } = {},
): BuiltImage {
  const { compress = (tar) => tar, mediaType = 'application/vnd.oci.image.layer.v1.tar' } = options;
  const architecture = options.architecture ?? (process.arch === 'x64' ? 'amd64' : process.arch);
  const blobs = new Map<string, Buffer>();
  const add = (data: Buffer) => {
    blobs.set(sha256(data), data);
    return { digest: sha256(data), size: data.length };
  };
  const diffIds = tars.map(sha256);
  const layers = tars.map((tar) => ({ mediaType, ...add(compress(tar)) }));
  const config = Buffer.from(
    JSON.stringify({
      architecture,
      os: 'linux',
      config: { Env: ['PATH=/bin'], Cmd: ['/bin/sh'], ...options.config },
      rootfs: { type: 'layers', diff_ids: diffIds },
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...add(config) },
      layers,
    }),
  );
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      manifests: [
        { mediaType: 'x', digest: sha256('other'), size: 5, platform: { os: 'linux', architecture: 'pdp11' } },
        { mediaType: 'x', ...add(manifest), platform: { os: 'linux', architecture } },
        { mediaType: 'x', digest: sha256('attest'), size: 6, platform: { os: 'unknown', architecture: 'unknown' } },
      ],
    }),
  );
  add(index);
  return {
    blobs,
    manifest,
    manifestDigest: sha256(manifest),
    index,
    indexDigest: sha256(index),
    config,
    configDigest: sha256(config),
    layers,
    diffIds,
  };
}
