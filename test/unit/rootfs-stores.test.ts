import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { parse } from 'smol-toml';
import { handlers } from '../../src/backends/registry.ts';
import { declareHandlers } from '../../src/core/config/handlers.ts';
import { checkConfig } from '../../src/core/config/load.ts';
import { StatusCode } from '../../src/core/model/errors.ts';
import { examineRootfs, rootfsNotes } from '../../src/examine-rootfs.ts';
import { openHostStores } from '../../src/rootfs-stores.ts';
import { silent } from '../integration/images-fixture.ts';

declareHandlers(handlers);
const names = handlers.map(({ name }) => name);

/** A configuration with an empty root directory. Nothing of it may need ZFS, which the machine may not have. */
async function configured(t: ExecutionContext, text = '') {
  const root = await mkdtemp(join(tmpdir(), 'stores-'));
  t.teardown(() => rm(root, { recursive: true }));
  return checkConfig([{ name: 'config.toml', text, table: { ...parse(text), root } }]);
}

test('handlers with the same store share it', async (t) => {
  const config = await configured(
    t,
    '[rootfs]\nstore = "overlayfs"\nquota_bytes = 5\n[handlers.crun.rootfs]\nquota_bytes = 0\nreservation_bytes = 3',
  );
  const stores = await openHostStores(config, names, silent);
  const [lxc, crun] = [stores.of('lxc'), stores.of('crun')];
  t.is(lxc.rootfs, crun.rootfs);
  t.deepEqual([lxc.rootfs.name, stores.left], ['overlayfs', []]);
  t.deepEqual(lxc.limits, {
    defaults: { quotaBytes: 5n, reservationBytes: 0n },
    largest: { quotaBytes: 5n, reservationBytes: 0n },
  });
  t.deepEqual(crun.limits, {
    defaults: { quotaBytes: 0n, reservationBytes: 3n },
    largest: { reservationBytes: 3n },
  });
});

test('a pool that is not imported does not move the node', async (t) => {
  const config = await configured(t);
  await mkdir(join(config.root, 'zfs/no-such-pool%2Flxcri'), { recursive: true });
  await t.throwsAsync(openHostStores(config, names, silent), {
    code: StatusCode.FAILED_PRECONDITION,
    message: /dataset no-such-pool\/lxcri, .*"zpool import no-such-pool", or set rootfs\.store to "overlayfs"/,
  });
  const { left } = await openHostStores({ ...config, rootfs: { ...config.rootfs, store: 'overlayfs' } }, names, silent);
  t.deepEqual(
    left.map(({ name }) => name),
    ['zfs:no-such-pool/lxcri'],
    'its containers are known',
  );
});

test('doctor and dump say what each handler has, and why', async (t) => {
  const both = await configured(t, '[rootfs]\nstore = "overlayfs"');
  t.like(await examineRootfs(both), [{ subject: 'root filesystems', status: 'ok' }]);
  const apart = await configured(
    t,
    '[rootfs]\nstore = "overlayfs"\n[handlers.crun.rootfs]\nstore = "zfs"\ndataset = "no-such-pool/a"',
  );
  const [lxc, crun, ...more] = await examineRootfs(apart);
  t.deepEqual(more, []);
  t.like(lxc, { subject: 'root filesystems of lxc', found: 'overlayfs: configured by rootfs.store' });
  t.like(crun, { subject: 'root filesystems of crun', status: 'missing' });
  const notes = await rootfsNotes(apart);
  t.deepEqual([...notes.keys()], ['rootfs.store', 'handlers.crun.rootfs.store']);
  t.is(notes.get('rootfs.store'), 'On this node: overlayfs (configured by rootfs.store)');
  t.regex(notes.get('handlers.crun.rootfs.store') ?? '', /^On this node: none \(/);
});
