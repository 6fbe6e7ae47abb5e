// A guest of its own: `test/long warm-pool`.
import test from 'ava';
import type { Fault } from '../../fixtures/faults/fault-points.ts';
import type { Owner } from '../../integration/server-fixture.ts';
import { Faults, FAULTY_PROGRAM } from '../../integration/walk-faults.ts';
import { GuestPods, HANDLER } from '../proxmox-pods.ts';
import { endAll, METRICS, nothingElse, pooled, poolOf, warmToml } from '../warm-pods.ts';

const SIZE = 1;
const HOWS = (process.env['WALK_HOW'] ?? 'die-before,die-after').split(',') as Fault['how'][];
/** The steps that change something of a guest, or that say whose it is. */
const POINT = new RegExp(
  process.env['WALK_POINT'] ??
    '^proxmox (POST|PUT|DELETE)|vmids|proxmox-lxc|sandboxes/ID\\.json|cgroup\\.procs|spawn /bin/sh|^mount ',
);

const ends: (() => unknown)[] = [];
let pods: GuestPods;
let faults: Faults;
test.before(async (t) => {
  const owner: Owner = { ...t, teardown: (end) => ends.push(end), passed: false };
  pods = await GuestPods.make(owner, {}, FAULTY_PROGRAM, { toml: warmToml(SIZE), metrics: METRICS });
  ends.push(() => endAll(pods));
  faults = new Faults(pods.server.directory);
});
test.after.always(async () => {
  for (const end of ends.reverse()) await end();
});

/** Something that the server is killed in, and what of it may be there afterwards. */
interface Scene {
  begin: () => Promise<unknown>;
  /** Resolves when all is done that it does without a fault. */
  done: () => Promise<unknown>;
  clean: () => Promise<unknown>;
}

let count = 0;
/** A pod that takes a guest, while no other is made. */
const claim: Scene = {
  begin: async () => {
    pods.node.cluster.state.faults.add({ effect: { kind: 'task-hold' }, match: { type: 'vzcreate' }, times: 0 });
    await pods.server.pod(`pod-${String((count += 1))}`, { hostname: 'web-0' }, HANDLER).catch(() => undefined);
  },
  done: () => Promise.resolve(),
  clean: async () => {
    pods.node.cluster.state.faults.clear();
    await pods.server.clear();
  },
};
/** A guest of the pool that is stopped, and replaced. */
const replacement: Scene = {
  begin: async () => {
    for (const vmid of (await pooled(pods)).values()) await pods.act('POST', vmid, '/status/stop');
  },
  done: () => poolOf(pods, SIZE),
  clean: () => Promise.resolve(),
};

for (const [name, scene] of Object.entries({ claim, replacement }))
  test.serial(`a server killed at a step of a ${name}`, async (t) => {
    t.timeout(24 * 3_600_000);
    await poolOf(pods, SIZE);
    await faults.arm();
    await scene.begin();
    await scene.done();
    const { passed } = await faults.arm();
    await scene.clean();
    const points = [...new Set(passed)].filter((point) => POINT.test(point) && !point.startsWith('read:'));
    t.log(`${name}: ${String(points.length)} points`);
    for (const point of points) {
      for (const how of HOWS) {
        await poolOf(pods, SIZE);
        await faults.arm({ point, how, errno: 'EIO' });
        await scene.begin();
        // Not every point is passed again; the server is killed all the same.
        await Promise.race([faults.reached(), scene.done()]).catch(() => undefined);
        await pods.server.end('SIGKILL');
        await pods.server.start();
        await scene.clean();
        t.deepEqual(await nothingElse(pods, SIZE), [], `${how} ${point}`);
        console.log(`ok  ${name}: ${how} ${point}`);
      }
    }
    await poolOf(pods, SIZE);
  });
