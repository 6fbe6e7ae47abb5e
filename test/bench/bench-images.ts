import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { run } from '../../src/host/processes/run.ts';
import { type Registry, startRegistry } from '../fixtures/registry.ts';
import { buildImage } from '../unit/integrations/oci/image-builder.ts';

/** Repository and tag of the image that pods run: Debian's static busybox. */
export const TINY = 'bench/tiny:1';
/** The peers' pause process: the one that this project uses. */
export const PAUSE = 'bench/pause:1';

/** Images to pull: what they have, and their repository and tag. */
export const PULLED = { '10,000 files of 6 KB in 4 layers': 'bench/small:1', 'one layer of 100 MB': 'bench/large:1' };
const FILES_A_LAYER = 2500;
const LARGE_BYTES = 100 * 2 ** 20;

/** Starts a registry on the loopback interface that has the images of the benchmarks. */
export async function startBenchRegistry(directory: string, port: number, hasPulled: boolean): Promise<Registry> {
  const layout = join(directory, 'layout');
  await mkdir(join(layout, 'blobs/sha256'), { recursive: true });
  const manifests = [
    await add(layout, TINY, [await tree(unpackBusybox)], { Cmd: ['/bin/sh'] }),
    await add(layout, PAUSE, [await tree((at) => copyFile('/usr/bin/catatonit', join(at, 'pause')))], {
      Entrypoint: ['/pause', '-P'],
    }),
  ];
  if (hasPulled) {
    const [small, large] = Object.values(PULLED) as [string, string];
    const layers: Buffer[] = [];
    for (let number = 0; number < 4; number += 1)
      layers.push(await tree((at) => smallFiles(join(at, `layer${String(number)}`))));
    manifests.push(await add(layout, small, layers, {}));
    manifests.push(await add(layout, large, [await tree((at) => writeFile(join(at, 'file'), half(LARGE_BYTES)))], {}));
  }
  await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  return startRegistry(port, join(directory, 'registry'), layout);
}

/** A root filesystem of Debian's static busybox. */
export async function unpackBusybox(directory: string): Promise<void> {
  for (const name of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'var']) await mkdir(join(directory, name));
  await copyFile('/bin/busybox', join(directory, 'bin/busybox'));
  for (const name of ['sh', 'sleep', 'true', 'yes', 'head', 'echo'])
    await symlink('busybox', join(directory, 'bin', name));
}

/** Bytes of which half can be compressed. */
const half = (size: number) => Buffer.concat([randomBytes(size / 2), Buffer.alloc(size / 2, 'text ')]);

async function smallFiles(directory: string): Promise<void> {
  await mkdir(directory);
  for (let index = 0; index < FILES_A_LAYER; index += 1)
    await writeFile(join(directory, `file${String(index)}`), half(6000));
}

/** A tar of what a function makes in an empty directory. */
async function tree(make: (directory: string) => Promise<unknown>): Promise<Buffer> {
  const directory = await mkdtemp('/tmp/bench-tree-');
  try {
    await make(directory);
    const tar = `${directory}.tar`;
    await run('tar', ['--directory', directory, '--owner=0', '--group=0', '--create', '--file', tar, '.']);
    const bytes = await readFile(tar);
    await rm(tar);
    return bytes;
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function add(layout: string, name: string, tars: Buffer[], config: object): Promise<object> {
  const image = buildImage(tars, {
    config,
    compress: (tar) => gzipSync(tar, { level: 1 }),
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
  });
  for (const [digest, bytes] of image.blobs) await writeFile(join(layout, 'blobs/sha256', digest.slice(7)), bytes);
  return {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: image.manifestDigest,
    size: image.manifest.length,
    annotations: { 'org.opencontainers.image.ref.name': name },
  };
}
