import test from 'ava';
import { lead, serveImage } from './walk-lead.ts';
import { FAULTY_PROGRAM, Faults } from './walk-faults.ts';
import { ServerFixture } from './server-fixture.ts';
import { imageStages, podStages } from './walk-stages.ts';
import { Walk } from './walk.ts';

for (const handler of ['lxc', 'crun']) {
  test.serial(`Pods of ${handler} survive faults at every point`, async (t) => {
    const server = await ServerFixture.make(t, '', { program: FAULTY_PROGRAM });
    const walk = await Walk.begin(server, new Faults(server.directory), handler);
    await lead(t, walk, podStages(server, handler, walk));
  });
}

test.serial('PullImage survives faults at every point', async (t) => {
  const image = await serveImage(t);
  const server = await ServerFixture.make(t, '', { program: FAULTY_PROGRAM });
  const { pull } = imageStages(server, image);
  // Permanent objects are created now.
  const first = await pull.prepare();
  await first.call();
  await first.clean();
  await lead(t, await Walk.begin(server, new Faults(server.directory), 'crun'), [pull]);
});
