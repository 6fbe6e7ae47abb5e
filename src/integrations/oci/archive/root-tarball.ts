import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { LayerDescriptor, SourceImage } from '../../../core/model/image.ts';
import { openTar } from '../../../host/processes/decompress.ts';
import { digestOf, digestOfStream } from '../digest.ts';
import type { Platform } from '../platform.ts';
import { makeManifest } from './docker-save.ts';
import { openBlob } from './layout.ts';

/** Top-level names of a root filesystem, which no image archive has. */
const ROOT_DIRECTORIES = new Set(['bin', 'boot', 'etc', 'home', 'lib', 'opt', 'root', 'sbin', 'srv', 'usr', 'var']);

/** Whether a member's name, without `.` components, shows that the archive is a root filesystem. */
export function isRootMember(name: string): boolean {
  return ROOT_DIRECTORIES.has(name.split('/', 1)[0] ?? '');
}

/**
 * A tarball of a root filesystem as an image of one layer, such as a container template of Proxmox VE (`vztmpl`): it runs
 * `/sbin/init` by default, and is named `localhost/<file name>`, with the version of a template as its tag.
 * @throws CriError INVALID_ARGUMENT, or an error of zlib, for damaged compression.
 */
export async function readRootTarball(
  path: string,
  platform: Platform,
  signal: AbortSignal | undefined,
): Promise<SourceImage> {
  const digest = await digestOfStream(createReadStream(path, { highWaterMark: 262_144 }), signal);
  const diffId = await digestOfStream(await openTar(path), signal);
  const { size } = await stat(path);
  const layer: LayerDescriptor = { digest, size, mediaType: 'application/vnd.oci.image.layer.v1.tar' };
  const config = Buffer.from(
    JSON.stringify({
      architecture: platform.architecture,
      os: platform.os,
      config: {
        Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
        Cmd: ['/sbin/init'],
      },
      rootfs: { type: 'layers', diff_ids: [diffId] },
    }),
  );
  const configDigest = digestOf(config);
  const manifest = makeManifest(configDigest, config.length, [layer]);
  const manifestDigest = digestOf(manifest);
  return {
    digest: manifestDigest,
    manifestDigest,
    manifest,
    configDigest,
    config,
    layers: [layer],
    names: [nameOf(path)],
    openLayer: (wanted, abort, range) => Promise.resolve(openBlob(path, wanted, abort, range)),
    close: () => Promise.resolve(),
  };
}

/** `debian-12-standard_12.7-1_amd64.tar.zst` is `localhost/debian-12-standard:12.7-1`, `My Root.tar` `localhost/my-root`. */
function nameOf(path: string): string {
  const stem = basename(path).replace(/\.(?:tar(?:\.\w+)?|tgz|tzst|txz)$/i, '');
  const [name = '', version = 'latest'] = /^([^_]+)_([\w.-]+)_[a-z0-9]+$/.exec(stem)?.slice(1) ?? [stem];
  const repository = name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  return `localhost/${repository.replaceAll(/^-|-$/g, '') || 'root'}:${version.replace(/^[^\w]+/, '').slice(0, 128)}`;
}
