import type { ExecutionContext } from 'ava';
import { setTimeout as sleep } from 'node:timers/promises';
import { inventory, leftovers } from './leaks.ts';
import type { ServerFixture } from './server-fixture.ts';

/**
 * Starts an operation, kills the server after each of these delays in milliseconds, restarts it and removes all pods;
 * asserts each time that nothing is left.
 */
export async function killedAmid(
  t: ExecutionContext,
  server: ServerFixture,
  delays: readonly number[],
  begin: () => Promise<void>[],
): Promise<void> {
  const before = await inventory(server);
  for (const delay of delays) {
    const settled = Promise.allSettled(begin());
    await sleep(delay);
    await server.end('SIGKILL');
    await settled;
    await server.start();
    await server.clear();
    t.deepEqual(await leftovers(server, before), [], `killed after ${String(delay)} ms`);
  }
}
