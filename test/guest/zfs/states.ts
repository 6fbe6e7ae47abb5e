import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { CriError, StatusCode } from '../../../src/core/model/errors.ts';
import type { Versions } from '../../../src/integrations/zfs/answers/version.ts';
import { Commands } from '../../../src/integrations/zfs/commands.ts';
import { PropertiesReader } from '../../../src/integrations/zfs/properties-reader.ts';
import { Zfs } from '../../../src/integrations/zfs/zfs.ts';
import { mountPointsBelow } from '../../lib/mounts.ts';
import { sha256, tarOf } from '../../unit/integrations/oci/image-builder.ts';
import { applyAll } from '../../integration/images-fixture.ts';
import { directory, frailPool, IS_LONG, run, zfs } from './pools.ts';
import { newStore } from './store-fixture.ts';

const POOL = 'states';
/** The states to try; undefined: all of them. */
const STATES = IS_LONG ? undefined : ['suspended'];

/** A state in which nothing can be made, and back. */
interface State {
  name: string;
  enter: () => Promise<unknown>;
  leave: () => Promise<unknown>;
  code: StatusCode;
  /** The remedy in the error of every call that changes something. */
  remedy: RegExp;
  /** Whether a store can start in it. */
  starts: boolean;
  /** Whether a root filesystem can be removed in it. */
  removes: boolean;
}

test.serial('a pool that is away, read-only, locked or suspended', async (t) => {
  const frail = await frailPool(t, POOL);
  const key = join(directory.path, 'states.key');
  await writeFile(key, Buffer.alloc(32, 7));
  t.teardown(() => rm(key));
  const settings = { mountpoint: 'none', encryption: 'on', keyformat: 'raw', keylocation: `file://${key}` };
  await zfs.createFilesystem(`${POOL}/secret`, { settings });
  const { store, dataset, mount, remove, make, root, mounts } = await newStore(t, 'store', {}, `${POOL}/secret`);
  const [old = ''] = await applyAll(store, [tarOf({ name: 'file', body: 'there' })]);
  await mount('old', old);
  const tar = tarOf({ name: 'new' });
  const blob = join(directory.path, 'states.tar');
  await writeFile(blob, tar);
  t.teardown(() => rm(blob));
  const layer = { parent: undefined, chainId: sha256(tar), diffId: sha256(tar), blob };
  const datasets = () => run('zfs', 'list', '-Hro', 'name', '-t', 'all', dataset);
  const before = await datasets();
  /** As an operator would have to, and as containers that have ended leave it. */
  const unmountAll = async () => {
    for (const path of (await mountPointsBelow(root)).reverse()) await run('umount', path);
  };
  const pool = join(root, 'zfs/pool');
  const importPool = (...options: string[]) =>
    run('zpool', 'import', '-l', '-o', 'cachefile=none', ...options, '-d', frail.disk, POOL);
  const away = async () => {
    await unmountAll();
    await run('zpool', 'export', POOL);
  };
  const states: State[] = [
    {
      name: 'exported',
      enter: away,
      leave: () => importPool(),
      code: StatusCode.UNAVAILABLE,
      remedy: /pool states is not imported; .*zpool import states/,
      starts: false,
      removes: false,
    },
    {
      name: 'read-only',
      enter: async () => {
        await away();
        await importPool('-o', 'readonly=on');
      },
      leave: async () => {
        await away();
        await importPool();
      },
      code: StatusCode.FAILED_PRECONDITION,
      remedy: /states\/secret\/store\/.*read-only; import the pool states writable/,
      starts: true,
      removes: false,
    },
    {
      name: 'without its key',
      enter: async () => {
        await unmountAll();
        await run('zfs', 'unload-key', `${POOL}/secret`);
      },
      leave: () => run('zfs', 'load-key', `${POOL}/secret`),
      code: StatusCode.FAILED_PRECONDITION,
      remedy: /states\/secret\/store\/.*zfs load-key/,
      starts: false,
      removes: true,
    },
    {
      name: 'renamed',
      enter: () => run('zfs', 'rename', '-u', dataset, `${dataset}-away`),
      leave: () => run('zfs', 'rename', '-u', `${dataset}-away`, dataset),
      code: StatusCode.FAILED_PRECONDITION,
      remedy: /dataset states\/secret\/store( of this server does not exist any more; rename it back|; create it)/,
      starts: false,
      removes: false,
    },
    {
      name: 'suspended',
      enter: frail.fail,
      leave: frail.repair,
      code: StatusCode.UNAVAILABLE,
      remedy: /states\/secret\/store.*zpool clear states/,
      starts: false,
      removes: false,
    },
  ];
  const problems: string[] = [];
  for (const { name, enter, leave, code, remedy, starts, removes } of states) {
    if (STATES?.includes(name) === false) continue;
    const refused = async (what: string, work: () => Promise<unknown>) => {
      const problem = await refusal(code, remedy, work);
      if (problem !== undefined) problems.push(`${name}, ${what}: ${problem}`);
    };
    await enter();
    // As the server does it: rolled back.
    const create = (chainId?: string) =>
      mount('new', chainId).catch(async (error: unknown) => {
        await remove('new').catch(() => undefined);
        throw error;
      });
    await refused('create', () => create(old));
    await refused('create of nothing', () => create());
    await refused('pull', () => store.applyLayer(layer));
    if (!removes) await refused('remove', () => store.remove('old'));
    if (starts) await make().recover();
    else await refused('start', () => make().recover());
    t.deepEqual(await mountPointsBelow(join(root, 'zfs/work')), [], name);
    await leave();
    t.is(await datasets(), before, name);
    // Without a restart.
    await store.applyLayer(layer);
    await mount('new', layer.chainId);
    await remove('new');
    await store.removeLayer(layer.chainId);
    t.deepEqual([await store.list(), await store.listLayers()], [['old'], [old]], name);
    await store.fsUsage();
    t.true((await mountPointsBelow(root)).includes(pool), name);
    t.is(await datasets(), before, name);
    await mounts.unmount('old');
    await mount('old', old);
  }
  t.deepEqual(problems, []);
});

/** Reports the versions of Debian 12. */
class OldReader extends PropertiesReader {
  override versions(): Promise<Versions> {
    const version = { major: 2, minor: 1, text: '2.1.11-1' };
    return Promise.resolve({ tools: version, module: version });
  }
}

test.serial('user namespaces need OpenZFS 2.2', async (t) => {
  const { store, root, mount } = await newStore(t, 'mapped-never', {
    zfs: new Zfs(new Commands(), new OldReader(new Commands())),
  });
  const ids = { hostId: 200_000, size: 65_536 };
  const message = /OpenZFS 2\.1\.11-1 has no idmapped mounts.*install OpenZFS 2\.2/;
  await t.throwsAsync(mount('c1', undefined, { ids }), { code: StatusCode.FAILED_PRECONDITION, message });
  t.deepEqual([await store.list(), await mountPointsBelow(join(root, 'rootfs'))], [[], []]);
});

/** What is wrong with the failure of a call that must fail with that code and name the remedy. */
async function refusal(code: StatusCode, remedy: RegExp, work: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await work();
    return 'it succeeds';
  } catch (error) {
    if (error instanceof CriError && error.code === code && remedy.test(error.message)) return undefined;
    return error instanceof CriError ? `code ${String(error.code)}: ${error.message}` : String(error);
  }
}
