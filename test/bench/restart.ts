// Measures how soon a killed server serves again beside running containers, while every CNI plugin hangs.
//
//   test/sandbox node_modules/.bin/node test/bench/restart.ts [CONTAINERS [ROUNDS]]     300 and 5
//
// Prints the median milliseconds from the start of the process to a ListContainers with every container RUNNING, of a
// server without containers and of one with them, ten in a pod, pods of both handlers in turn; and their ratio.
import { setTimeout as sleep } from 'node:timers/promises';
import { ContainerState, ListContainersRequest, RuntimeServiceService } from '../../api/gen/cri.ts';
import { ServerClient } from '../../src/cli/client/server.ts';
import { forEach } from '../../src/utils/async/for-each.ts';
import { hang } from '../integration/hanging-plugin.ts';
import { ServerFixture } from '../integration/server-fixture.ts';
import { accepts } from '../lib/accepts.ts';
import { median } from './contenders.ts';

const [containers = 300, rounds = 5] = process.argv.slice(2).map(Number);
const PER_POD = 10;
const AT_ONCE = 4;

/** Milliseconds from the start of the server to an answer that has `count` running containers. */
async function serves(server: ServerFixture, count: number): Promise<number> {
  await server.end('SIGKILL');
  const begin = performance.now();
  const starting = server.start({ settled: false });
  while ((await running(server)) !== count) await sleep(2);
  const took = performance.now() - begin;
  await starting;
  return took;
}

/** How many containers the server says are running; -1 while it does not answer. */
async function running(server: ServerFixture): Promise<number> {
  if (!(await accepts(server.socket))) return -1;
  using client = new ServerClient(`unix://${server.socket}`);
  return await client.call(RuntimeServiceService.listContainers, ListContainersRequest.create()).then(
    (answer) => answer.containers.filter(({ state }) => state === ContainerState.CONTAINER_RUNNING).length,
    () => -1,
  );
}

async function measured(server: ServerFixture, count: number): Promise<number> {
  const figures: number[] = [];
  for (let round = 0; round < rounds; round += 1) figures.push(await serves(server, count));
  console.log(`${String(count)} containers: ${figures.map((ms) => ms.toFixed(0)).join(', ')} ms`);
  return median(figures);
}

const undo: (() => unknown)[] = [];
const owner = { teardown: (step: () => unknown) => void undo.push(step), log: console.log, passed: true };
try {
  const server = await ServerFixture.make(owner as Parameters<typeof ServerFixture.make>[0]);
  await hang(server, []);
  const without = await measured(server, 0);
  const pods = Array.from({ length: Math.ceil(containers / PER_POD) }, (_, index) => index);
  await forEach(pods, AT_ONCE, async (number) => {
    const pod = await server.pod(`p${String(number)}`, {}, number % 2 === 0 ? 'lxc' : 'crun');
    const mine = Math.min(PER_POD, containers - number * PER_POD);
    for (let each = 0; each < mine; each += 1) await server.sh(pod, `c${String(each)}`, 'exec sleep 100000');
  });
  const hanging = await hang(server, ['ADD', 'CHECK', 'DEL', 'GC', 'STATUS']);
  undo.push(hanging.release, hanging.proceed);
  const beside = await measured(server, containers);
  console.log(
    `${beside.toFixed(0)} ms beside ${String(containers)} containers, ${without.toFixed(0)} ms without (${(beside / without).toFixed(2)})`,
  );
} finally {
  for (const step of undo.reverse()) await step();
}
