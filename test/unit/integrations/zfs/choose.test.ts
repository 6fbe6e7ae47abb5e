import test from 'ava';
import { StatusCode } from '../../../../src/core/model/errors.ts';
import type { ZfsClient } from '../../../../src/integrations/zfs/client.ts';
import { ZfsError } from '../../../../src/integrations/zfs/errors/zfs-error.ts';
import { chooseStore, type Wanted } from '../../../../src/integrations/zfs/store/choose.ts';

/** A machine with these pools and datasets; without any, it has no ZFS. */
function machine(pools: Record<string, 'ONLINE' | 'SUSPENDED'> | undefined, ...datasets: string[]): ZfsClient {
  const none = () => Promise.reject(new ZfsError('noZfs', '', 'zfs version: zfs not found'));
  const list = () =>
    Promise.resolve(
      Object.entries(pools ?? {}).map(([name, health]) => ({ name, isSuspended: health === 'SUSPENDED' })),
    );
  const get = ([name = '']: string[]) =>
    datasets.includes(name) ? Promise.resolve([]) : Promise.reject(new ZfsError('notFound', name, `${name}: none`));
  const client =
    pools === undefined ? { zfs: { get: none }, zpool: { list: none } } : { zfs: { get }, zpool: { list } };
  return client as unknown as ZfsClient;
}

const auto: Wanted = { store: 'auto', dataset: '', table: 'rootfs' };
const zfs: Wanted = { ...auto, store: 'zfs' };

test('auto takes ZFS where its dataset exists', async (t) => {
  const both = machine(
    { rpool: 'ONLINE', data: 'ONLINE', ill: 'SUSPENDED' },
    'data/proxmox-lxcri',
    'ill/proxmox-lxcri',
  );
  t.like(await chooseStore(both, auto, []), { store: 'zfs', dataset: 'data/proxmox-lxcri' });
  const named = machine({ rpool: 'ONLINE' }, 'rpool/a/b');
  t.like(await chooseStore(named, { ...auto, dataset: 'rpool/a/b' }, []), {
    store: 'zfs',
    dataset: 'rpool/a/b',
  });
});

test('auto takes overlayfs otherwise, and says why', async (t) => {
  t.deepEqual(await chooseStore(machine(undefined), auto, []), { store: 'overlayfs', reason: 'there is no ZFS' });
  t.like(await chooseStore(machine({ rpool: 'ONLINE' }), auto, []), {
    store: 'overlayfs',
    command: 'zfs create rpool/proxmox-lxcri',
  });
  t.like(await chooseStore(machine({ rpool: 'ONLINE' }), { ...auto, dataset: 'rpool/a' }, []), {
    reason: 'no dataset rpool/a',
    command: 'zfs create -p rpool/a',
  });
});

test('a dataset on a storage of Proxmox comes first', async (t) => {
  const storages = [
    { name: 'gone', pool: 'other/data' },
    { name: 'local-zfs', pool: 'rpool/data' },
  ];
  const both = machine({ rpool: 'ONLINE' }, 'rpool/proxmox-lxcri', 'rpool/data/proxmox-lxcri');
  t.deepEqual(await chooseStore(both, auto, storages), {
    store: 'zfs',
    dataset: 'rpool/data/proxmox-lxcri',
    reason: 'found in the storage local-zfs of Proxmox',
  });
  const plain = machine({ rpool: 'ONLINE' }, 'rpool/proxmox-lxcri');
  t.like(await chooseStore(plain, auto, storages), { dataset: 'rpool/proxmox-lxcri' });
  t.like(await chooseStore(machine({ rpool: 'ONLINE' }), auto, storages), {
    store: 'overlayfs',
    command: 'zfs create rpool/data/proxmox-lxcri',
  });
});

test('a named dataset whose pool is not imported is no reason for overlayfs', async (t) => {
  const away = new ZfsError('notImported', 'rpool/a', 'pool rpool is not imported; "zpool import rpool" imports it');
  const client = { zfs: { get: () => Promise.reject(away) }, zpool: { list: () => Promise.resolve([]) } };
  const machine = client as unknown as ZfsClient;
  for (const store of ['auto', 'zfs'] as const)
    await t.throwsAsync(chooseStore(machine, { ...auto, store, dataset: 'rpool/a' }, []), { is: away });
  t.like(await chooseStore(machine, auto, [{ name: 'local-zfs', pool: 'rpool/data' }]), { store: 'overlayfs' });
});

test('what cannot be chosen is refused with a remedy', async (t) => {
  const refused = { code: StatusCode.FAILED_PRECONDITION };
  await t.throwsAsync(chooseStore(machine({ rpool: 'ONLINE' }), zfs, []), {
    ...refused,
    message: /^rootfs\.store: .*zfs create rpool/,
  });
  const two = machine({ a: 'ONLINE', b: 'ONLINE' }, 'a/proxmox-lxcri', 'b/proxmox-lxcri');
  await t.throwsAsync(chooseStore(two, auto, []), { ...refused, message: /name one of them/ });
  await t.throwsAsync(chooseStore(two, { ...auto, table: 'handlers.lxc.rootfs' }, []), {
    ...refused,
    message: /^handlers\.lxc\.rootfs\.dataset: /,
  });
  await t.throwsAsync(chooseStore(machine(undefined), zfs, []), { code: StatusCode.UNAVAILABLE });
});
