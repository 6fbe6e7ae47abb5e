import test from 'ava';
import { emptyDirOf, pathInEmptyDir } from '../../../../../src/core/lifecycle/volumes/empty-dirs.ts';
import { unneededVolumes } from '../../../../../src/core/lifecycle/volumes/unneeded-volumes.ts';
import { volumeQuotas } from '../../../../../src/core/lifecycle/volumes/volume-quotas.ts';
import { StatusCode } from '../../../../../src/core/model/errors.ts';
import type { VolumeStore } from '../../../../../src/core/model/volumes.ts';

const UID = '7f3c0c1e-1b7e-4a53-9d0e-0e4b8f5f0c11';
const POD = `/var/lib/kubelet/pods/${UID}`;
const CACHE = `${POD}/volumes/kubernetes.io~empty-dir/cache`;
const unused = () => Promise.reject(new Error('not used'));

/** A store with volumes in the place of these directories. */
function storeOf(...directories: (string | undefined)[]): VolumeStore {
  const volumes = directories.map((directory, index) => ({ id: `v${String(index)}`, directory, isFilled: true }));
  const list = () => Promise.resolve(volumes);
  return { prepare: unused, markFilled: unused, remove: unused, usage: unused, list };
}

test("only a pod's own emptyDirs are recognised", (t) => {
  t.deepEqual(emptyDirOf(CACHE, UID), { volume: 'cache', directory: CACHE, isSubPath: false });
  const sub = `${POD}/volume-subpaths/cache/app/0`;
  t.deepEqual(emptyDirOf(sub, UID), { volume: 'cache', directory: CACHE, isSubPath: true });
  for (const path of [
    `${CACHE}/inside`,
    `${CACHE}/`,
    CACHE.replace('empty-dir', 'configmap'),
    CACHE.replace('/cache', '/..'),
    `${POD}/volume-subpaths/cache/app`,
    '/pods',
    '',
  ]) {
    t.is(emptyDirOf(path, UID), undefined, path);
  }
  t.is(emptyDirOf(CACHE, 'another'), undefined);
  t.is(emptyDirOf(CACHE, ''), undefined);
});

test('a sub path is found by the root of its mount', (t) => {
  for (const above of ['', '/kubelet', '/var/lib/kubelet']) {
    const root = `${above}/pods/${UID}/volumes/kubernetes.io~empty-dir/cache/a/b`;
    t.is(pathInEmptyDir(root, CACHE), 'a/b');
    t.is(pathInEmptyDir(`${root}//deleted`, CACHE), undefined);
    t.is(pathInEmptyDir(root.replace('cache', 'other'), CACHE), undefined);
  }
  // What a volume contains does not count.
  t.is(pathInEmptyDir(`${CACHE}/x${CACHE}/y`, CACHE), `x${CACHE}/y`);
});

test('volumes are needed as long as pod or directory exists', async (t) => {
  const present = new Set(['/var/lib/kubelet/pods', CACHE]);
  const resolve = (path: string) => Promise.resolve(present.has(path) ? path : undefined);
  const store = storeOf(CACHE, CACHE.replace(UID, 'gone'), CACHE.replace(UID, 'kept'), undefined, '/elsewhere');
  const unneeded = () => unneededVolumes(store, { resolve }, new Set(['kept']));
  t.deepEqual(await unneeded(), ['v1']);
  present.delete(CACHE);
  t.deepEqual(await unneeded(), ['v0', 'v1']);
  // The filesystem of the kubelet may not be mounted yet.
  present.clear();
  t.deepEqual(await unneeded(), []);
});

test('quotas need a store that has volumes', (t) => {
  const annotations = { 'proxmox-lxcri.io/volume-quota': '10Gi, cache=1Gi' };
  const store = { name: 'zfs:tank/x', volumes: storeOf() };
  const { of } = volumeQuotas({ pod: annotations, container: { 'proxmox-lxcri.io/volume-quota': 'db=2' } }, {}, store);
  t.deepEqual([of('cache'), of('db'), of('other')], [2n ** 30n, 2n, 10n * 2n ** 30n]);
  const overlay = { name: 'overlayfs' };
  t.is(volumeQuotas({ pod: {}, container: {} }, {}, overlay).of('cache'), undefined);
  for (const [pod, container] of [
    [annotations, {}],
    [{}, annotations],
  ] as const) {
    const error = t.throws(() => volumeQuotas({ pod, container }, {}, overlay));
    t.like(error, { code: StatusCode.FAILED_PRECONDITION });
    t.regex(error?.message ?? '', /volume-quota"\]: the store overlayfs has no volumes/);
  }
});

test('a quota of a volume is at most the largest', (t) => {
  const annotations = { 'proxmox-lxcri.io/volume-quota': '0, cache=10, db=11, /data=0' };
  const store = { name: 'zfs:tank/x', volumes: storeOf() };
  const { of } = volumeQuotas({ pod: annotations, container: {} }, { quotaBytes: 10n }, store);
  // On the disk of the node.
  t.deepEqual([of('cache'), of('other')], [10n, 0n]);
  for (const name of ['db', '/data']) {
    t.throws(() => of(name), {
      code: StatusCode.INVALID_ARGUMENT,
      message:
        /volume-quota"\]: asks for (11 bytes|no limit); this node allows at most 10 bytes \(rootfs\.max_quota_bytes/,
    });
  }
});
