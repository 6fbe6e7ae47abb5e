// Creates root filesystems on ZFS, unpacks a layer and measures containers, beside bare zfs, mount and tar, in one run.
//
//   test/guest/run --scratch 12G --timeout 7200 -- test/sandbox node_modules/.bin/node test/bench/rootfs.ts [ROUNDS [MB [CONTAINERS]]]
//
// Prints the median milliseconds of each and their ratio to the bare commands; it makes and destroys a pool of its own.
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chainIds } from '../../src/core/lifecycle/images/image-config.ts';
import { mountRootfs, removeRootfs } from '../../src/core/lifecycle/rootfs-place.ts';
import { HostRootfsMounts } from '../../src/host/platform/rootfs-mounts.ts';
import { run } from '../../src/host/processes/run.ts';
import { zfsClient } from '../../src/integrations/zfs/client.ts';
import { ZfsStore } from '../../src/integrations/zfs/store/zfs-store.ts';
import { applyAll, silent } from '../integration/images-fixture.ts';
import { unmountBelow } from '../lib/mounts.ts';
import { tarOf } from '../unit/integrations/oci/image-builder.ts';
import { median } from './contenders.ts';

const POOL = 'bench';
const DATASET = `${POOL}/lxcri`;
const LAYERS = [1, 5, 20, 40];
/** Root filesystems that are created one after the other in each round. */
const BATCH = 5;
/** Of the bare commands: clones, mount points and mounts. */
const CLONES = `set -e
i=0
while [ $i -lt $3 ]; do
  zfs clone -u "$1" "$2/bare$i"
  mkdir -p "$4/bare$i"
  mount -t zfs "$2/bare$i" "$4/bare$i"
  i=$((i + 1))
done`;
const UNPACK = `set -e
zfs create -u "$1"
mkdir -p "$2"
mount -t zfs "$1" "$2"
tar -C "$2" --numeric-owner --xattrs -xf "$3"
zfs snapshot "$1@layer"
umount "$2"`;

const USAGE = `exec zfs list -Hpr -o name,used,projectobjused@0 "$1"`;

const [rounds = 5, megabytes = 500, containers = 500] = process.argv.slice(2).map(Number);
const directory = await mkdtemp('/scratch/bench-rootfs-');
const shell = (script: string, ...args: string[]) => run('sh', ['-c', script, 'sh', ...args], { timeoutMs: 3_600_000 });

/** Milliseconds that a task takes. */
async function time(task: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await task();
  return performance.now() - begun;
}

function report(what: string, ours: readonly number[], bare: readonly number[]): void {
  const [a, b] = [median([...ours]), median([...bare])];
  console.log(`${what.padEnd(44)} ${a.toFixed(1)} ms, bare ${b.toFixed(1)} ms, ratio ${(a / b).toFixed(2)}`);
}

/** A tar of that size: half of its bytes are in files of 4 MiB, half in small ones. */
async function bigTar(): Promise<string> {
  const tree = join(directory, 'tree');
  const small = 8192;
  for (let at = 0; at < megabytes / 2; at += 1) {
    const part = join(tree, `part${String(at)}`);
    await mkdir(part, { recursive: true });
    if (at % 4 === 0) await writeFile(join(part, 'large'), randomBytes(4 * 2 ** 20));
    for (let file = 0; file < 2 ** 20 / small; file += 1) {
      await writeFile(join(part, `file${String(file)}`), randomBytes(small));
    }
  }
  const tar = join(directory, 'big.tar');
  await run('tar', ['-C', tree, '-cf', tar, '.']);
  await rm(tree, { recursive: true });
  return tar;
}

async function benchCreate(store: ZfsStore, mounts: HostRootfsMounts): Promise<void> {
  const tars = Array.from({ length: Math.max(...LAYERS) }, (_, at) => tarOf({ name: `layer${String(at)}`, body: 'x' }));
  const chain = await applyAll(store, tars);
  const place = { store, mounts };
  const ids = Array.from({ length: BATCH }, (_, index) => `c${String(index)}`);
  const figures = new Map(LAYERS.map((count) => [count, { ours: [] as number[], bare: [] as number[] }]));
  const bareMounts = join(directory, 'bare');
  for (let round = 0; round <= rounds; round += 1) {
    for (const [count, { ours, bare }] of figures) {
      const top = chain[count - 1] ?? '';
      const create = async () => {
        for (const id of ids) await mountRootfs(place, id, top);
      };
      const snapshot = `${DATASET}/layers/${top.slice(7)}@layer`;
      const bareCreate = () => shell(CLONES, snapshot, `${DATASET}/rootfs`, String(BATCH), bareMounts);
      // In turns: neither is always the one after the other's clean-up.
      const tasks = [
        async () => ours.push((await time(create)) / BATCH),
        async () => bare.push((await time(bareCreate)) / BATCH),
      ];
      for (const task of round % 2 === 0 ? tasks : tasks.reverse()) {
        await run('zpool', ['sync', POOL]);
        await task();
      }
      for (const id of ids) await removeRootfs(place, id);
      await unmountBelow(bareMounts);
      for (let at = 0; at < BATCH; at += 1) await run('zfs', ['destroy', `${DATASET}/rootfs/bare${String(at)}`]);
      // The first round warms up.
      if (round === 0) [ours.length, bare.length] = [0, 0];
    }
  }
  for (const [count, { ours, bare }] of figures) report(`create, ${String(count)} layers`, ours, bare);
}

async function benchUnpack(store: ZfsStore): Promise<void> {
  const blob = await bigTar();
  const digest = `sha256:${(await run('sha256sum', [blob])).stdout.slice(0, 64)}`;
  const [chainId = ''] = chainIds([digest]);
  const [ours, bare]: [number[], number[]] = [[], []];
  for (let round = 0; round < Math.min(rounds, 3); round += 1) {
    ours.push(await time(() => store.applyLayer({ parent: undefined, chainId, diffId: digest, blob })));
    await store.removeLayer(chainId);
    await run('zpool', ['sync', POOL]);
    bare.push(await time(() => shell(UNPACK, `${DATASET}/layers/bare`, join(directory, 'unpack'), blob)));
    await run('zfs', ['destroy', '-r', `${DATASET}/layers/bare`]);
    await run('zpool', ['sync', POOL]);
  }
  report(`unpack ${String(megabytes)} MB`, ours, bare);
}

async function benchUsage(store: ZfsStore, mounts: HostRootfsMounts): Promise<void> {
  const [top] = await store.listLayers();
  const ids = Array.from({ length: containers }, (_, index) => `u${String(index)}`);
  // As after a start of the node, when nothing is mounted, then as beside running containers.
  for (const id of ids) await store.prepare(id, top);
  await compareUsage(store, ids, 'not mounted');
  for (const id of ids) await mountRootfs({ store, mounts }, id, top);
  await compareUsage(store, ids, 'mounted');
}

async function compareUsage(store: ZfsStore, ids: readonly string[], state: string): Promise<void> {
  const [ours, bare]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round += 1) {
    ours.push(await time(() => Promise.all(ids.map((id) => store.usage(id)))));
    bare.push(await time(() => shell(USAGE, `${DATASET}/rootfs`)));
  }
  report(`usage of ${String(ids.length)} containers, ${state}`, ours, bare);
}

try {
  const disk = join(directory, 'disk');
  await run('truncate', ['--size', '4G', disk]);
  await run('zpool', ['create', '-o', 'cachefile=none', '-O', 'mountpoint=none', POOL, disk]);
  await run('zfs', ['create', DATASET]);
  const root = join(directory, 'root');
  await mkdir(root);
  const store = new ZfsStore({
    zfs: zfsClient().zfs,
    dataset: DATASET,
    root,
    mounts: join(root, 'zfs'),
    logger: silent,
  });
  await store.recover();
  const mounts = new HostRootfsMounts(join(root, 'rootfs'));
  await benchCreate(store, mounts);
  await benchUnpack(store);
  await benchUsage(store, mounts);
} finally {
  await unmountBelow(directory);
  await run('zpool', ['destroy', '-f', POOL]).catch(() => undefined);
  await rm(directory, { recursive: true, force: true });
}
