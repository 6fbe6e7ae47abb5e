// A guest of its own: `test/long walk-zfs`.
import test from 'ava';
import { FAULTY_PROGRAM, Faults } from '../../integration/walk-faults.ts';
import { lead, serveImage } from '../../integration/walk-lead.ts';
import { imageStages, podStages } from '../../integration/walk-stages.ts';
import { Walk } from '../../integration/walk.ts';
import { ServerFixture } from '../../integration/server-fixture.ts';
import { TANK, zfs } from './pools.ts';
import { operatorStages } from './walk-stages.ts';

const OF_CONTAINERS = ['CreateContainer', 'RemoveContainer'];

for (const handler of process.env['WALK_HANDLER']?.split(',') ?? ['lxc', 'crun']) {
  test.serial(`containers of ${handler} on ZFS survive faults at every point`, async (t) => {
    const dataset = `${TANK}/walk-${handler}`;
    await zfs.createFilesystem(dataset);
    const server = await ServerFixture.make(t, '', { program: FAULTY_PROGRAM, dataset });
    const walk = await Walk.begin(server, new Faults(server.directory), handler);
    const stages = podStages(server, handler, walk).filter(({ name }) => OF_CONTAINERS.includes(name));
    await lead(t, walk, [...stages, ...operatorStages(server, dataset, walk)]);
  });
}

test.serial('images on ZFS survive faults at every point', async (t) => {
  const dataset = `${TANK}/walk-images`;
  await zfs.createFilesystem(dataset);
  const image = await serveImage(t);
  const server = await ServerFixture.make(t, '', { program: FAULTY_PROGRAM, dataset });
  const { pull, remove } = imageStages(server, image);
  // Permanent objects are created now.
  const first = await pull.prepare();
  await first.call();
  await first.clean();
  await lead(t, await Walk.begin(server, new Faults(server.directory), 'crun'), [pull, remove]);
});
