import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Handler } from './backends/handler.ts';
import type { Config } from './core/config/schema.ts';
import { createLogger } from './core/logging/logger.ts';
import { Metrics } from './core/metrics/metrics.ts';
import { ROOT, ROOT_PARTS, STATE_PARTS } from './core/state-layout.ts';
import { messageOf } from './utils/errors.ts';
import { build, claim, recover } from './server.ts';
import { removeOwn } from './host/remove-own.ts';

/**
 * Removes everything of a server that does not run, with the server's own parts: recovery first, which also clears what no
 * record knows, then every pod with its containers, every image, and the directories.
 * @returns the paths below them that stay, because they are not the server's.
 * @throws CriError FAILED_PRECONDITION while a server uses the root, and for a directory that is not the server's; Error when
 *   something cannot be removed, and the records of it stay for another try.
 */
export async function wipe(handlers: readonly Handler[], config: Config): Promise<string[]> {
  const logger = createLogger({ ...config.log, level: 'error' });
  await claim(config, logger);
  const start = async () => {
    const services = await build(handlers, config, logger, new Metrics());
    await recover(services);
    await services.pods.settle();
    return services;
  };
  let services = await start();
  // What runs of a damaged record is left alone by a start until the file that lies aside is gone.
  if (await dropSetAside(config.root)) services = await start();
  const { pods, containers, images } = services;
  const failures: string[] = [];
  const attempt = async (what: string, remove: () => Promise<void>) => {
    try {
      await remove();
    } catch (error) {
      failures.push(`${what}: ${messageOf(error)}`);
    }
  };
  for (const { id } of pods.list()) await attempt(`pod ${id}`, () => pods.remove(id));
  for (const { id } of containers.list()) await attempt(`container ${id}`, () => containers.remove(id));
  for (const { id } of images.list()) await attempt(`image ${id}`, () => images.remove(id));
  if (failures.length > 0) throw new Error(`some things cannot be removed:\n${failures.join('\n')}`);
  return [...(await removeOwn(config.root, ROOT_PARTS)), ...(await removeOwn(config.state, STATE_PARTS))];
}

async function dropSetAside(root: string): Promise<boolean> {
  let found = false;
  for (const kind of [ROOT.sandboxes, ROOT.containers, ROOT.images]) {
    for (const name of await readdir(join(root, kind))) {
      if (!name.endsWith('.json.corrupt')) continue;
      await rm(join(root, kind, name));
      found = true;
    }
  }
  return found;
}
