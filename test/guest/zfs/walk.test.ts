// A guest of its own: `test/long walk-zfs`.
import test from 'ava';
import { FAULTY_PROGRAM, Faults } from '../../integration/walk-faults.ts';
import { lead, serveImage } from '../../integration/walk-lead.ts';
import { imageStages, podStages } from '../../integration/walk-stages.ts';
import { Walk } from '../../integration/walk.ts';
import { ServerFixture } from '../../integration/server-fixture.ts';
import { TANK, zfs } from './pools.ts';

const OF_CONTAINERS = ['CreateContainer', 'RemoveContainer'];

test.serial('a server killed at every step on ZFS', async (t) => {
  const dataset = `${TANK}/walk`;
  await zfs.createFilesystem(dataset);
  const image = await serveImage(t);
  const server = await ServerFixture.make(t, '', { program: FAULTY_PROGRAM, dataset });
  const { pull, remove } = imageStages(server, image);
  // Permanent objects are created now.
  const first = await pull.prepare();
  await first.call();
  await first.clean();
  const walk = await Walk.begin(server, new Faults(server.directory), 'crun');
  const containers = podStages(server, 'crun', walk).filter(({ name }) => OF_CONTAINERS.includes(name));
  await lead(t, walk, [pull, ...containers, remove]);
});
