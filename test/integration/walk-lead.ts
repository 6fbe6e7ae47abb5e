import type { ExecutionContext } from 'ava';
import { join } from 'node:path';
import type { How } from '../fixtures/faults/fault-points.ts';
import { PROPERTY_SEED } from '../lib/property-seed.ts';
import { buildImage, tarOf } from '../unit/integrations/oci/image-builder.ts';
import { skopeo, startRegistry, temporary, writeLayout } from './images-fixture.ts';
import { faultsAt, isAtOnce, sample } from './walk-plan.ts';
import type { Stage } from './walk-stages.ts';
import type { Walk } from './walk.ts';

/**
 * One of two hundred faults, chosen by the seed. All of them, with the result of each: WALK_SHARE=1; of a selection:
 * WALK_HOW=die-amid WALK_RPC=StopContainer WALK_POINT=rename.
 */
const share = Number(process.env['WALK_SHARE'] ?? 0.005);
const how = process.env['WALK_HOW']?.split(',') as How[] | undefined;
const rpcs = process.env['WALK_RPC']?.split(',');
const only = new RegExp(process.env['WALK_POINT'] ?? '');
/** So many calls are killed by one kill, each before a point of its own (`Walk.killAmid`). */
const together = Number(process.env['WALK_TOGETHER'] ?? 0);

/** Takes a server past the faults of these stages and asserts that none has done harm. */
export async function lead(t: ExecutionContext, walk: Walk, stages: readonly Stage[]): Promise<void> {
  t.timeout(24 * 3_600_000);
  t.log(`seed ${String(PROPERTY_SEED)}`);
  const failures: string[] = [];
  for (const stage of stages) {
    if (rpcs?.includes(stage.name) === false) continue;
    const points = await walk.record(stage);
    const wanted = faultsAt(points).filter((fault) => (how?.includes(fault.how) ?? true) && only.test(fault.point));
    const faults = sample(wanted, share, PROPERTY_SEED);
    if (together > 0) {
      const before = faults.filter((fault) => fault.how === 'die-before' && !isAtOnce(fault.point));
      failures.push(
        ...(await killTogether(
          t,
          walk,
          stage,
          before.map(({ point }) => point),
        )),
      );
      continue;
    }
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

/** Kills the server amid calls that are spread over the points of an RPC. */
async function killTogether(t: ExecutionContext, walk: Walk, stage: Stage, points: string[]): Promise<string[]> {
  const failures: string[] = [];
  let struck = 0;
  const stride = Math.ceil(points.length / together);
  for (let first = 0; first < stride; first++) {
    const group = points.filter((_, index) => index % stride === first).reverse();
    const { reached, problems } = await walk.killAmid(stage, group);
    struck += reached.length;
    const words = problems.map((problem) => `\n      ${problem}`).join('');
    for (const point of group) console.log(`${reached.includes(point) ? 'ok ' : '-- '} ${stage.name}: held ${point}`);
    if (problems.length > 0) console.log(`BAD ${stage.name}: ${group.join(', ')}${words}`);
    if (problems.length > 0) failures.push(`${stage.name}: ${group.join(', ')}${words}`);
  }
  t.log(`${stage.name}: ${String(points.length)} points, ${String(struck)} reached, ${String(stride)} kills`);
  return failures;
}

/** Serves an image of two layers from a registry that ends with the test. Returns its reference. */
export async function serveImage(t: ExecutionContext): Promise<string> {
  const directory = await temporary(t);
  const host = await startRegistry(t, directory);
  const base = tarOf({ name: 'etc/passwd', body: 'root:x:0:0::/:/bin/sh\n' });
  const layout = await writeLayout(join(directory, 'layout'), buildImage([base, tarOf({ name: 'app', body: 'app' })]));
  await skopeo('copy', '--dest-tls-verify=false', `oci:${layout}`, `docker://${host}/walk:v1`);
  return `${host}/walk:v1`;
}
