import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { parseContainer } from '../../pve/config/container-text.ts';
import { idsOf, mapped } from '../../pve/lxc/ids.ts';
import { mountsOf } from '../../pve/lxc/volumes.ts';
import { freshStore } from '../../pve/state/store.ts';
import { Volumes } from '../../pve/state/volumes.ts';
import { NotedDatasets } from '../../pve/storage/zfspool/noted.ts';

const section = (...lines: string[]) => parseContainer(`${lines.join('\n')}\n`, '9.2').current;

test('raw mappings count before the standard ones', (t) => {
  t.deepEqual(idsOf(section('arch: amd64')), { uid: 0, gid: 0, maps: [] });
  const standard = idsOf(section('unprivileged: 1'));
  t.deepEqual(standard, { uid: 100_000, gid: 100_000, maps: ['u:0:100000:65536', 'g:0:100000:65536'] });
  const raw = ['lxc.idmap: u 0 200000 1000', 'lxc.idmap: u 1000 1000 1', 'lxc.idmap: g 0 300000 65536'];
  const own = idsOf(section('unprivileged: 1', ...raw));
  t.like(own, { uid: 200_000, gid: 300_000 });
  t.deepEqual(
    [0, 999, 1000, 1001].map((id) => mapped(own, 'u', id)),
    [200_000, 200_999, 1000, 1001],
  );
  t.is(mapped(own, 'g', 5), 300_005);
});

test('mounts are in the order of their numbers', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'pve-volumes-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const store = freshStore();
  const datasets = new NotedDatasets(store, () => undefined);
  const volumes = new Volumes({ root: directory, datasets, keepsQuota: true }, store);
  const of = { vmid: 100, format: 'raw', size: 4096 };
  await volumes.allocate('local', { vmid: 100, format: 'subvol', size: 0 });
  for (const name of ['vm-100-disk-1.raw', 'base-100-disk-2.raw']) await volumes.allocate('local', { ...of, name });
  const file = (name: string) => volumes.file(`local:100/${name}`);
  const mounts = mountsOf(
    section(
      'mp10: local:100/base-100-disk-2.raw,mp=/base',
      'mp2: local:100/vm-100-disk-1.raw,mp=/data,mountoptions=noatime;discard',
      'mp1: /srv/x,mp=/x,ro=1,mountoptions=nodev;discard',
      'rootfs: local:100/subvol-100-disk-0.subvol',
    ),
    volumes,
  );
  t.deepEqual(mounts, [
    { kind: 'bind', source: file('subvol-100-disk-0.subvol'), target: '/', options: ['bind'] },
    { kind: 'bind', source: '/srv/x', target: '/x', options: ['bind', 'ro', 'nodev'] },
    { kind: 'image', source: file('vm-100-disk-1.raw'), target: '/data', options: ['loop', 'noatime', 'discard'] },
    { kind: 'image', source: file('base-100-disk-2.raw'), target: '/base', options: ['loop', 'ro', 'noload'] },
  ]);
  t.throws(() => mountsOf(section('rootfs: local:100/subvol-100-disk-9.subvol'), volumes), {
    message: "volume 'local:100/subvol-100-disk-9.subvol' does not exist",
  });
});
