import test from 'ava';
import { parse } from 'smol-toml';
import { handlers } from '../../../../src/backends/registry.ts';
import { declareHandlers } from '../../../../src/core/config/handlers.ts';
import { checkConfig } from '../../../../src/core/config/load.ts';
import { dumpConfigToml } from '../../../../src/core/config/render.ts';
import { rootfsOfHandler } from '../../../../src/core/config/rootfs.ts';

declareHandlers(handlers);
const load = (text: string) => checkConfig([{ name: 'config.toml', text, table: parse(text) }]);

test("a handler's table overrides the one of all", (t) => {
  const config = load(`
    [rootfs]
    dataset = "tank/a"
    quota_bytes = 5
    [handlers.crun.rootfs]
    store = "overlayfs"
    reservation_bytes = 0
    max_quota_bytes = 0
  `);
  const common = { store: 'auto', dataset: 'tank/a', quota_bytes: 5, reservation_bytes: 0 };
  const largest = { max_quota_bytes: 5, max_reservation_bytes: 0 };
  t.deepEqual(rootfsOfHandler(config, 'lxc') as object, { ...common, ...largest, table: 'rootfs' });
  t.deepEqual(rootfsOfHandler(config, 'crun') as object, {
    ...common,
    ...largest,
    store: 'overlayfs',
    max_quota_bytes: 0,
    table: 'handlers.crun.rootfs',
  });
});

test('a dump shows the chosen store in comments', (t) => {
  const config = load('');
  const text = dumpConfigToml(config, new Map([['rootfs.store', 'On this node: zfs in a/b\nx = 1']]));
  t.regex(text, /\n# On this node: zfs in a\/b x = 1\nstore = "auto"\n/);
  t.deepEqual(load(text), config);
});

test('properties of datasets are values of ZFS', (t) => {
  for (const good of ['', 'lz4', 'gzip-9', 'zstd', 'zstd-19', 'zstd-fast-1000'])
    t.notThrows(() => load(`[rootfs]\ncompression = "${good}"`), good);
  for (const bad of ['gzip-10', 'zstd-20', 'zstd-0', 'lz4 -o x', 'inherit'])
    t.throws(() => load(`[rootfs]\ncompression = "${bad}"`), { message: /rootfs\.compression/ }, bad);
  for (const good of ['', '512', '128K', '16M']) t.notThrows(() => load(`[rootfs]\nrecordsize = "${good}"`), good);
  for (const bad of ['3K', '32M', '128k', '131072', '256'])
    t.throws(() => load(`[rootfs]\nrecordsize = "${bad}"`), { message: /rootfs\.recordsize/ }, bad);
});
