// Pulls and unpacks a 500 MB image of 8 layers, beside skopeo with tar and beside containerd, in one run.
//
//   test/sandbox node_modules/.bin/node test/bench/images.ts [ROUNDS]
//
// Prints the median seconds of each and their ratios to ours. containerd is taken from PATH, or unpacked from Debian's
// package into a directory of the run; it never runs as a service. Missing programs are skipped and reported.
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { ImageService } from '../../src/core/lifecycle/images/image-service.ts';
import { RootfsStores } from '../../src/core/lifecycle/rootfs-stores.ts';
import { ArchiveReader } from '../../src/integrations/oci/archive-reader.ts';
import { RegistryClient } from '../../src/integrations/oci/registry-client.ts';
import { run } from '../../src/host/processes/run.ts';
import { systemClock } from '../../src/utils/time/system-clock.ts';
import { imageFilesBelow } from '../lib/image-files.ts';
import { recordsBelow } from '../lib/records-place.ts';
import { startRegistry } from '../fixtures/registry.ts';
import { mountsOf, newStore, silent } from '../integration/images-fixture.ts';
import { findContainerd, median, startContainerd } from './contenders.ts';
import type { Containerd } from './contenders.ts';

const LAYERS = 8;
const LAYER_BYTES = 64 * 2 ** 20;
const PORT = 5900;

interface Contender {
  name: string;
  pull(image: string, directory: string): Promise<void>;
  /** Runs before each pull, outside the measured time. */
  prepare?(directory: string): Promise<void>;
  cleanUp?(directory: string): Promise<void>;
}

/** Longest delays of this process's event loop during our pulls, in milliseconds. */
const stalls: number[] = [];

const ours: Contender = {
  name: 'proxmox-lxcri',
  async pull(image, directory) {
    const store = await newStore(join(directory, 'overlay'));
    const registry = new RegistryClient({ logger: silent });
    const archives = new ArchiveReader({ temporary: join(directory, 'import') });
    const images = new ImageService({
      records: recordsBelow(directory),
      files: imageFilesBelow(directory),
      sources: [registry, archives],
      stores: new RootfsStores({ used: [store], logger: silent }),
      mounts: mountsOf(store),
      clock: systemClock,
      logger: silent,
    });
    await images.load();
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    await images.pull(image);
    delay.disable();
    stalls.push(delay.max / 1e6);
    await registry.close();
  },
};

const skopeoAndTar: Contender = {
  name: 'skopeo copy + tar -x',
  async pull(image, directory) {
    const layout = join(directory, 'layout');
    const copy = [
      '--insecure-policy',
      'copy',
      '--quiet',
      '--src-tls-verify=false',
      `docker://${image}`,
      `dir:${layout}`,
    ];
    await run('skopeo', copy, { env: { PATH: process.env['PATH'], HOME: directory } });
    const manifest = JSON.parse(await readFile(join(layout, 'manifest.json'), 'utf8')) as {
      layers: { digest: string }[];
    };
    await mkdir(join(directory, 'root'));
    for (const { digest } of manifest.layers) {
      await run('tar', [
        '-C',
        join(directory, 'root'),
        '--numeric-owner',
        '-xzf',
        join(layout, digest.replace('sha256:', '')),
      ]);
    }
    await run('sync', ['--file-system', directory]);
  },
};

function containerdPull(containerd: Containerd): Contender {
  let daemon: Awaited<ReturnType<typeof startContainerd>> | undefined;
  return {
    name: 'containerd (ctr pull)',
    async prepare(directory) {
      daemon = await startContainerd(containerd, directory);
    },
    async pull(image, directory) {
      await daemon?.ctr('images', 'pull', '--plain-http', image);
      await run('sync', ['--file-system', directory]);
    },
    cleanUp: async () => daemon?.[Symbol.asyncDispose](),
  };
}

/** An image layout whose layers have large and small files; half of the bytes are compressible. */
async function buildLayout(directory: string): Promise<string> {
  const layout = join(directory, 'layout');
  await mkdir(join(layout, 'blobs/sha256'), { recursive: true });
  const layers: object[] = [];
  const diffIds: string[] = [];
  for (let number = 0; number < LAYERS; number++) {
    const tree = join(directory, 'tree');
    await mkdir(join(tree, `layer${number}`), { recursive: true });
    for (let file = 0; file < 1024; file++) {
      const size = file % 64 === 0 ? LAYER_BYTES / 32 : LAYER_BYTES / 2048;
      const content = Buffer.concat([randomBytes(size / 2), Buffer.alloc(size / 2, `text of file ${file} `)]);
      await writeFile(join(tree, `layer${number}`, `file${file}`), content);
    }
    const tar = join(directory, 'layer.tar');
    await run('tar', ['-C', tree, '-cf', tar, '.']);
    diffIds.push(await fileDigest(tar));
    await run('gzip', ['-1', '--force', tar]);
    layers.push(await addBlob(layout, `${tar}.gz`, 'application/vnd.oci.image.layer.v1.tar+gzip'));
    await rm(tree, { recursive: true });
  }
  const json = async (value: object, mediaType: string) => {
    const path = join(directory, 'document.json');
    await writeFile(path, JSON.stringify(value));
    return addBlob(layout, path, mediaType);
  };
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const rootfs = { type: 'layers', diff_ids: diffIds };
  const config = await json(
    { architecture, os: 'linux', config: {}, rootfs },
    'application/vnd.oci.image.config.v1+json',
  );
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = await json({ schemaVersion: 2, mediaType, config, layers }, mediaType);
  await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }));
  return layout;
}

async function addBlob(layout: string, path: string, mediaType: string): Promise<object> {
  const digest = await fileDigest(path);
  const { size } = await stat(path);
  await run('mv', ['--', path, join(layout, 'blobs/sha256', digest.slice(7))]);
  return { mediaType, digest, size };
}

async function fileDigest(path: string): Promise<string> {
  const { stdout } = await run('sha256sum', ['--', path]);
  return `sha256:${stdout.slice(0, 64)}`;
}

const rounds = Number(process.argv[2] ?? 3);
const directory = await mkdtemp('/tmp/bench-images-');
try {
  const layout = await buildLayout(directory);
  await using registry = await startRegistry(PORT, join(directory, 'registry'));
  const image = `${registry.address}/bench/image:v1`;
  const push = [
    '--insecure-policy',
    'copy',
    '--quiet',
    '--dest-tls-verify=false',
    `oci:${layout}`,
    `docker://${image}`,
  ];
  await run('skopeo', push, { env: { PATH: process.env['PATH'], HOME: directory } });
  const containerd = await findContainerd(directory);
  const contenders = [ours, skopeoAndTar, ...(containerd === undefined ? [] : [containerdPull(containerd)])];
  const seconds = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const contender of contenders) {
      const own = await mkdtemp(join(directory, 'run-'));
      await contender.prepare?.(own);
      await run('sync', []);
      const start = performance.now();
      try {
        await contender.pull(image, own);
        seconds.get(contender.name)?.push((performance.now() - start) / 1000);
      } finally {
        await contender.cleanUp?.(own);
      }
      await rm(own, { recursive: true, force: true });
    }
  }
  const reference = median(seconds.get(ours.name) ?? []);
  console.log(`${LAYERS} layers, ${(LAYERS * LAYER_BYTES) / 1e6} MB, ${rounds} rounds, medians:`);
  for (const [name, values] of seconds) {
    const all = values.map((value) => value.toFixed(2)).join(' ');
    console.log(
      `${name.padEnd(24)} ${median(values).toFixed(2)} s  x${(median(values) / reference).toFixed(2)}  (${all})`,
    );
  }
  console.log(`longest hold of our event loop: ${Math.max(...stalls).toFixed(1)} ms`);
} finally {
  await rm(directory, { recursive: true, force: true });
}
