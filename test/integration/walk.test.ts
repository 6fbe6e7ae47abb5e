import test from 'ava';
import type { ExecutionContext } from 'ava';
import { join } from 'node:path';
import type { How } from '../fixtures/faults/fault-points.ts';
import { PROPERTY_SEED } from '../lib/property-seed.ts';
import { buildImage, tarOf } from '../unit/integrations/oci/image-builder.ts';
import { skopeo, startRegistry, temporary, writeLayout } from './images-fixture.ts';
import { FAULTY_PROGRAM, Faults } from './walk-faults.ts';
import { ServerFixture } from './server-fixture.ts';
import { faultsAt, sample } from './walk-plan.ts';
import { podStages, pullStage } from './walk-stages.ts';
import type { Stage } from './walk-stages.ts';
import { Walk } from './walk.ts';

/**
 * One of two hundred faults, chosen by the seed. All of them, with the result of each: WALK_SHARE=1; a selection:
 * WALK_HOW=die-amid WALK_RPC=StopContainer WALK_POINT=rename.
 */
const share = Number(process.env['WALK_SHARE'] ?? 0.005);
const how = process.env['WALK_HOW']?.split(',') as How[] | undefined;
const rpc = process.env['WALK_RPC'];
const only = new RegExp(process.env['WALK_POINT'] ?? '');

for (const handler of ['lxc', 'crun']) {
  test.serial(`Pods of ${handler} survive faults at every point`, async (t) => {
    const server = await ServerFixture.make(t, '', { program: FAULTY_PROGRAM });
    const walk = await Walk.begin(server, new Faults(server.directory), handler);
    await lead(t, walk, podStages(server, handler, walk));
  });
}

test.serial('PullImage survives faults at every point', async (t) => {
  const directory = await temporary(t);
  const host = await startRegistry(t, directory);
  const base = tarOf({ name: 'etc/passwd', body: 'root:x:0:0::/:/bin/sh\n' });
  const layout = await writeLayout(join(directory, 'layout'), buildImage([base, tarOf({ name: 'app', body: 'app' })]));
  await skopeo('copy', '--dest-tls-verify=false', `oci:${layout}`, `docker://${host}/walk:v1`);
  const server = await ServerFixture.make(t, '', { program: FAULTY_PROGRAM });
  const stage = pullStage(server, `${host}/walk:v1`);
  // Permanent objects are created now.
  const first = await stage.prepare();
  await first.call();
  await first.clean();
  await lead(t, await Walk.begin(server, new Faults(server.directory), 'crun'), [stage]);
});

async function lead(t: ExecutionContext, walk: Walk, stages: readonly Stage[]): Promise<void> {
  t.timeout(24 * 3_600_000);
  t.log(`seed ${String(PROPERTY_SEED)}`);
  const failures: string[] = [];
  for (const stage of stages) {
    if (rpc !== undefined && !rpc.split(',').includes(stage.name)) continue;
    const points = await walk.record(stage);
    const faults = sample(faultsAt(points), share, PROPERTY_SEED).filter(
      (fault) => (how?.includes(fault.how) ?? true) && only.test(fault.point),
    );
    let struck = 0;
    for (const fault of faults) {
      const outcome = await walk.visit(stage, fault);
      if (outcome.struck) struck += 1;
      const what = `${stage.name}: ${fault.how} ${fault.errno} ${fault.point}`;
      if (outcome.problems.length > 0) failures.push([what, ...outcome.problems].join('\n  '));
      if (share === 1)
        console.log(
          `${outcome.problems.length > 0 ? 'BAD' : outcome.struck ? 'ok ' : '-- '} ${what}${outcome.problems.map((p) => `\n      ${p}`).join('')}`,
        );
    }
    t.log(`${stage.name}: ${String(points.length)} points, ${String(faults.length)} faults, ${String(struck)} struck`);
  }
  t.deepEqual(failures, []);
}
