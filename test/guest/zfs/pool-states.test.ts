// A guest of its own: `test/long zfs-states`.
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { CriError, StatusCode } from '../../../src/core/model/errors.ts';
import { ServerFixture } from '../../integration/server-fixture.ts';
import { serveImage } from '../../integration/walk-lead.ts';
import { mountPointsBelow } from '../../lib/mounts.ts';
import { type Call, stateCalls } from './pool-calls.ts';
import { directory, frailPool, run, TANK, zfs } from './pools.ts';

const POOL = 'states';
const DATASET = `${POOL}/secret/lxcri`;
const ELSEWHERE = `${TANK}/elsewhere`;
/** Milliseconds that the kubelet waits for an RPC (runtimeRequestTimeout). */
const LIMIT_MS = 120_000;

/** A state in which something cannot be made, and back. */
interface State {
  name: string;
  enter: () => Promise<unknown>;
  leave: () => Promise<unknown>;
  /** Whether containers can run in it: without, everything is unmounted first. */
  hasContainers: boolean;
  /** The RPCs that fail; all others succeed. */
  refused: readonly Call[];
  code: StatusCode;
  /** The dataset and the remedy in each error. */
  message: RegExp;
}

const CHANGES: readonly Call[] = ['CreateContainer', 'PullImage', 'Receive'];

/** A pool whose device can fail, with an encrypted dataset, and a server that has its images there and in another pool. */
async function fixture(t: ExecutionContext) {
  const frail = await frailPool(t, POOL, '256M');
  const key = join(directory.path, 'states.key');
  await writeFile(key, Buffer.alloc(32, 7));
  t.teardown(() => rm(key));
  const settings = { mountpoint: 'none', encryption: 'on', keyformat: 'raw', keylocation: `file://${key}` };
  await zfs.createFilesystem(`${POOL}/secret`, { settings });
  for (const name of [DATASET, ELSEWHERE]) await zfs.createFilesystem(name);
  const image = await serveImage(t);
  const server = await ServerFixture.make(
    t,
    `[handlers.crun.rootfs]\ndataset = "${ELSEWHERE}"\n[rootfs]\nstore = "zfs"\ndataset = "${DATASET}"\n`,
  );
  return { frail, server, calls: await stateCalls(server, image, LIMIT_MS) };
}

test.serial('a server in bad states of a pool', async (t) => {
  t.timeout(3_600_000);
  const { frail, server, calls } = await fixture(t);
  const importPool = (...options: string[]) =>
    run('zpool', 'import', '-l', '-o', 'cachefile=none', ...options, '-d', frail.disk, POOL);
  /** As an operator would have to. */
  const away = async () => {
    const mounted = (await run('findmnt', '-rnt', 'zfs', '-o', 'SOURCE,TARGET')).trim().split('\n');
    const targets = mounted.flatMap((line) => (line.startsWith(`${DATASET}/`) ? [line.split(' ')[1] ?? ''] : []));
    for (const target of targets.reverse()) await run('umount', target);
    await run('zpool', 'export', POOL);
  };
  const fill = (name: string, unit: string) =>
    run('dd', 'if=/dev/urandom', `of=${join(frail.root, name)}`, `bs=${unit}`, 'conv=fsync').catch(() => '');
  const states: readonly State[] = [
    {
      name: 'suspended',
      enter: frail.fail,
      leave: frail.repair,
      hasContainers: true,
      refused: [...CHANGES, 'ImageFsInfo', 'RemoveContainer'],
      code: StatusCode.UNAVAILABLE,
      message: /states\/secret\/lxcri\/.*I\/O is currently suspended; .*zpool clear states/,
    },
    {
      name: 'full',
      async enter() {
        await fill('large', '1M');
        await fill('small', '4k');
        await run('zpool', 'sync', POOL);
      },
      async leave() {
        for (const name of ['large', 'small']) await rm(join(frail.root, name), { force: true });
        await run('zpool', 'sync', POOL);
      },
      hasContainers: true,
      refused: CHANGES,
      code: StatusCode.RESOURCE_EXHAUSTED,
      message: /states\/secret\/lxcri\/.*free space in the pool states/,
    },
    {
      name: 'renamed',
      enter: () => run('zfs', 'rename', '-u', DATASET, `${DATASET}-other`),
      leave: () => run('zfs', 'rename', '-u', `${DATASET}-other`, DATASET),
      hasContainers: true,
      refused: [...CHANGES, 'ImageFsInfo', 'RemoveContainer'],
      code: StatusCode.FAILED_PRECONDITION,
      message: /dataset states\/secret\/lxcri of this server does not exist any more; rename it back/,
    },
    {
      name: 'exported',
      enter: away,
      leave: () => importPool(),
      hasContainers: false,
      refused: [...CHANGES, 'ImageFsInfo', 'RemoveContainer'],
      code: StatusCode.UNAVAILABLE,
      message: /states\/secret\/lxcri\/.*pool states is not imported; .*zpool import states/,
    },
    {
      name: 'read-only',
      async enter() {
        await away();
        await importPool('-o', 'readonly=on');
      },
      async leave() {
        await away();
        await importPool();
      },
      hasContainers: false,
      refused: [...CHANGES, 'RemoveContainer'],
      code: StatusCode.FAILED_PRECONDITION,
      message: /states\/secret\/lxcri\/.*read-only; import the pool states writable/,
    },
    {
      name: 'locked',
      async enter() {
        await away();
        await importPool();
        await run('zfs', 'unload-key', `${POOL}/secret`);
      },
      leave: () => run('zfs', 'load-key', `${POOL}/secret`),
      hasContainers: false,
      refused: [...CHANGES, 'ImageFsInfo'],
      code: StatusCode.FAILED_PRECONDITION,
      message: /states\/secret.*zfs load-key/,
    },
  ];
  const content = async () => [
    ...(await run('zfs', 'list', '-Hro', 'name', '-t', 'all', DATASET, ELSEWHERE)).split('\n'),
    ...(await mountPointsBelow(server.directory)),
  ];
  const before = await content();
  const problems: string[] = [];
  for (const { name, enter, leave, hasContainers, refused, code, message } of states) {
    const subjects = await calls.subjects(hasContainers);
    await enter();
    for (const [what, call] of calls.calls(subjects)) {
      const begun = performance.now();
      const error = await call().then(
        () => undefined,
        (failure: unknown) => (failure instanceof Error ? failure : new Error(inspect(failure))),
      );
      const ms = Math.round(performance.now() - begun);
      const outcome = error instanceof CriError ? `${String(error.code)} ${error.message}` : (error?.message ?? 'done');
      const line = `${name}, ${what}, ${String(ms)} ms: ${outcome}`;
      console.log(line);
      const isExpected = refused.includes(what)
        ? error instanceof CriError && error.code === code && message.test(error.message)
        : error === undefined;
      if (!isExpected) problems.push(line);
    }
    await leave();
    // Without a restart.
    await calls.clean().catch((error: unknown) => problems.push(`${name}, afterwards: ${String(error)}`));
    const after = await content();
    const differences = [
      ...after.filter((each) => !before.includes(each)),
      ...before.filter((each) => !after.includes(each)),
    ];
    if (differences.length > 0) problems.push(`${name}: ${differences.join(', ')}`);
  }
  t.deepEqual(problems, []);
});
