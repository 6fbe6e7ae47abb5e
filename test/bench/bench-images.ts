import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readFile } from 'node:fs/promises';
import { run } from '../../src/host/processes/run.ts';
import { type Registry, startRegistry } from '../fixtures/registry.ts';
import { buildImage } from '../unit/integrations/oci/image-builder.ts';

/** Repository and tag of the image that pods run: Debian's static busybox. */
export const TINY = 'bench/tiny:1';
/** The peers' pause process: the one that this project uses. */
const PAUSE = 'bench/pause:1';

/** Starts a registry on the loopback interface that has the images of the benchmarks. */
export async function startBenchRegistry(directory: string, port: number): Promise<Registry> {
  const layout = join(directory, 'layout');
  await mkdir(join(layout, 'blobs/sha256'), { recursive: true });
  const busybox = [
    'cp /bin/busybox bin/busybox',
    'bin/busybox --list | while read -r name; do ln -s busybox "bin/$name" 2>/dev/null || :; done',
  ];
  const manifests = [
    await add(layout, TINY, await tree(`mkdir bin etc proc sys dev tmp var; ${busybox.join('; ')}`), {
      Cmd: ['/bin/sh'],
    }),
    await add(layout, PAUSE, await tree('cp /usr/bin/catatonit pause'), { Entrypoint: ['/pause', '-P'] }),
  ];
  await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  return startRegistry(port, join(directory, 'registry'), layout);
}

/** A tar of what a shell script makes in an empty directory. */
async function tree(script: string): Promise<Buffer> {
  const directory = await mkdtemp('/tmp/bench-tree-');
  try {
    await run('sh', ['-c', script], { cwd: directory });
    const tar = `${directory}.tar`;
    await run('tar', ['--directory', directory, '--owner=0', '--group=0', '--create', '--file', tar, '.']);
    const bytes = await readFile(tar);
    await rm(tar);
    return bytes;
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function add(layout: string, name: string, tar: Buffer, config: object): Promise<object> {
  const image = buildImage([tar], { config });
  for (const [digest, bytes] of image.blobs) await writeFile(join(layout, 'blobs/sha256', digest.slice(7)), bytes);
  return {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: image.manifestDigest,
    size: image.manifest.length,
    annotations: { 'org.opencontainers.image.ref.name': name },
  };
}
