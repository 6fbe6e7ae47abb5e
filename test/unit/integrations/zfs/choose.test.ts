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

const auto: Wanted = { store: 'auto', dataset: '' };
const never = () => Promise.resolve(false);

test('auto takes ZFS where its dataset exists', async (t) => {
  const both = machine(
    { rpool: 'ONLINE', data: 'ONLINE', ill: 'SUSPENDED' },
    'data/proxmox-lxcri',
    'ill/proxmox-lxcri',
  );
  t.like(await chooseStore(both, auto, never), { store: 'zfs', dataset: 'data/proxmox-lxcri' });
  const named = machine({ rpool: 'ONLINE' }, 'rpool/a/b');
  t.like(await chooseStore(named, { store: 'auto', dataset: 'rpool/a/b' }, never), {
    store: 'zfs',
    dataset: 'rpool/a/b',
  });
});

test('auto takes overlayfs otherwise, and says why', async (t) => {
  t.deepEqual(await chooseStore(machine(undefined), auto, never), { store: 'overlayfs', reason: 'there is no ZFS' });
  t.like(await chooseStore(machine({ rpool: 'ONLINE' }), auto, never), {
    store: 'overlayfs',
    command: 'zfs create rpool/proxmox-lxcri',
  });
  t.like(await chooseStore(machine({ rpool: 'ONLINE' }), { store: 'auto', dataset: 'rpool/a' }, never), {
    reason: 'no dataset rpool/a',
    command: 'zfs create -p rpool/a',
  });
});

test('containers on overlayfs keep their store', async (t) => {
  const client = machine({ rpool: 'ONLINE' }, 'rpool/proxmox-lxcri');
  const choice = await chooseStore(client, auto, () => Promise.resolve(true));
  t.is(choice.store, 'overlayfs');
  t.regex(choice.reason, /drain the node/);
  const wanted: Wanted = { store: 'zfs', dataset: '' };
  t.is((await chooseStore(client, wanted, () => Promise.resolve(true))).store, 'zfs');
});

test('what cannot be chosen is refused with a remedy', async (t) => {
  const refused = { code: StatusCode.FAILED_PRECONDITION };
  const wanted: Wanted = { store: 'zfs', dataset: '' };
  await t.throwsAsync(chooseStore(machine({ rpool: 'ONLINE' }), wanted, never), {
    ...refused,
    message: /zfs create rpool/,
  });
  const two = machine({ a: 'ONLINE', b: 'ONLINE' }, 'a/proxmox-lxcri', 'b/proxmox-lxcri');
  await t.throwsAsync(chooseStore(two, auto, never), { ...refused, message: /name one of them/ });
  await t.throwsAsync(chooseStore(machine(undefined), wanted, never), { code: StatusCode.UNAVAILABLE });
});
