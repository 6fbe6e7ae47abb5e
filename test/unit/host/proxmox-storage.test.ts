import test from 'ava';
import { readZfsStorages, zfsStorages } from '../../../src/host/proxmox-storage.ts';

const FILE = `dir: local
	path /var/lib/vz
	content iso,vztmpl,backup

zfspool: local-zfs
	pool rpool/data
	content images,rootdir
	sparse

zfspool: tank
	pool tank
	nodes pve2,pve3

zfspool: disks
	pool rpool/disks
	content images

zfspool: off
	pool rpool/off
	disable

zfspool: on
	disable 0
	pool rpool/on
	content rootdir

zfspool: broken
	content rootdir
`;

test('storages of containers on ZFS are read from storage.cfg', async (t) => {
  t.deepEqual(zfsStorages(FILE, 'pve1'), [
    { name: 'local-zfs', pool: 'rpool/data' },
    { name: 'on', pool: 'rpool/on' },
  ]);
  t.deepEqual(
    zfsStorages(FILE, 'pve2').map(({ pool }) => pool),
    ['rpool/data', 'tank', 'rpool/on'],
  );
  t.deepEqual(zfsStorages('', 'pve1'), []);
  t.deepEqual(await readZfsStorages('/nowhere/storage.cfg'), []);
});
