import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import anyTest, { type TestFn } from 'ava';
import { buildImages } from '../fixtures/images/build.ts';
import { type Descriptor, referenceAnnotation } from '../fixtures/images/layout.ts';
import { startRegistry } from '../fixtures/registry.ts';

const execute = promisify(execFile);
const cache = process.env['PROXMOX_LXCRI_CACHE'] ?? '/var/cache/proxmox-lxcri-test';
const test = anyTest as TestFn<{ folder: string; layout: string }>;

test.before(async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'proxmox-lxcri-images-'));
  t.context = { folder, layout: join(folder, 'layout') };
  await execute('test/fixtures/images/build', [t.context.layout]);
});

test.after.always(async (t) => {
  await rm(t.context.folder, { recursive: true, force: true });
});

async function images(layout: string): Promise<Map<string, Descriptor>> {
  const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as { manifests: Descriptor[] };
  return new Map(index.manifests.map((image) => [image.annotations![referenceAnnotation]!, image]));
}

async function unpack(layout: string, reference: string, root: string): Promise<void> {
  const read = async <T>(of: Descriptor): Promise<T> =>
    JSON.parse(await readFile(join(layout, 'blobs', ...of.digest.split(':')), 'utf8')) as T;
  const index = await read<{ manifests: Descriptor[] }>((await images(layout)).get(reference)!);
  const manifest = await read<{ layers: Descriptor[] }>(index.manifests[0]!);
  await mkdir(root);
  for (const layer of manifest.layers) {
    await execute('tar', ['-xzpf', join(layout, 'blobs', ...layer.digest.split(':')), '-C', root]);
  }
}

test('the same packages give the same digests', async (t) => {
  const again = join(t.context.folder, 'again');
  await buildImages(cache, again, ['busybox', 'e2e-test-images/nginx:1.14-2', 'tiny']);
  const all = await images(t.context.layout);
  for (const [reference, image] of await images(again)) t.is(all.get(reference)?.digest, image.digest);
});

test('three tags name one image, other images differ', async (t) => {
  const all = await images(t.context.layout);
  const staging = 'k8s-staging-cri-tools';
  const tags = ['1', '2', '3'].map((tag) => all.get(`${staging}/test-image-tags:${tag}`)!.digest);
  t.is(new Set(tags).size, 1);
  const apart = ['1', '2', '3'].map((name) => all.get(`${staging}/test-image-${name}:latest`)!.digest);
  t.is(new Set(apart).size, 3);
});

test('the busybox image says what critest compares', async (t) => {
  const root = join(t.context.folder, 'busybox');
  await unpack(t.context.layout, 'e2e-test-images/busybox:1.29-2', root);
  await rm(join(root, 'bin/ls'));
  await writeFile(join(root, 'bin/ls'), '');
  await chmod(join(root, 'bin/ls'), 0o644);
  const failing = async (...command: string[]): Promise<string> =>
    execute('chroot', [root, ...command]).then(
      () => '',
      (error: unknown) => (error as { stderr: string }).stderr,
    );
  t.is(await failing('/bin/sh', '-c', 'ls'), '/bin/sh: ls: Permission denied\n');
  t.is(await failing('touch', '/missing/file'), 'touch: /missing/file: No such file or directory\n');
  const { stdout } = await execute('chroot', [root, 'sh', '-c', 'ipcs -m >/dev/null; id -nu; pgrep -V; type brctl']);
  t.regex(stdout, /^root\npgrep from procps.*\nbrctl is \/bin\/brctl\n$/);
});

test('the registry serves what the layout holds, and again after a restart', async (t) => {
  const data = join(t.context.folder, 'registry');
  const pause = (await images(t.context.layout)).get('pause:3.9')!;
  for (const layout of [t.context.layout, undefined]) {
    await using registry = await startRegistry(5073, data, layout);
    const response = await fetch(`http://${registry.address}/v2/pause/manifests/3.9`, {
      headers: { accept: pause.mediaType },
    });
    t.is(response.headers.get('docker-content-digest'), pause.digest);
    t.is((await response.arrayBuffer()).byteLength, pause.size);
  }
});
