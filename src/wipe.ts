import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { unmountExits } from './backends/conmon/exits/exit-space.ts';
import type { Handler } from './backends/handler.ts';
import type { Config } from './core/config/schema.ts';
import { createLogger } from './core/logging/logger.ts';
import { Metrics } from './core/metrics/metrics.ts';
import { ROOT, ROOT_PARTS, STATE, stateParts } from './core/state-layout.ts';
import { messageOf } from './utils/errors.ts';
import { build, claim, recover } from './compose.ts';
import { isClaimed } from './core/lifecycle/pods/network-upkeep.ts';
import { removeAllVolumes } from './core/lifecycle/volumes/volume-place.ts';
import { removeOwn } from './host/remove-own.ts';

/**
 * Removes everything of a stopped server: recovers first, which also removes orphans, then removes every pod with its
 * containers, every image, and the directories.
 * @returns the paths below them that stay, because they do not belong to the server.
 * @throws CriError FAILED_PRECONDITION while a server uses the root, and for a directory of another program; Error when
 *   something cannot be removed; its records stay, so that it can be repeated.
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
  // A start leaves pods and containers with a damaged record alone until the *.corrupt file is deleted.
  if (await dropSetAside(config.root)) services = await start();
  const { pods, containers, images, backends, stores } = services;
  const failures: string[] = [];
  const attempt = async (what: string, remove: () => Promise<void>) => {
    try {
      await remove();
    } catch (error) {
      failures.push(`${what}: ${messageOf(error)}`);
    }
  };
  for (const { id } of pods.list()) await attempt(`pod ${id}`, () => pods.remove(id));
  // Among them guests of pods that have been removed before, which only the map of VMIDs knows.
  await attempt('pods without a record', () => pods.removeOrphans());
  for (const { id } of containers.list()) await attempt(`container ${id}`, () => containers.remove(id));
  for (const { id } of images.list()) await attempt(`image ${id}`, () => images.remove(id));
  for (const { sandboxes } of backends)
    await attempt(`warm pool of ${sandboxes.handler}`, async () => sandboxes.warmPool?.clear());
  for (const { network } of backends)
    await attempt('prepared networks', async () => network.pool?.clear((id) => isClaimed(pods.list(), id)));
  if (failures.length > 0) throw new Error(`cannot remove everything:\n${failures.join('\n')}`);
  const left: string[] = [];
  for (const store of stores.all) {
    await attempt(`store ${store.name}`, async () => {
      for (const { platform } of backends) await removeAllVolumes(store, platform.volumeMounts);
      left.push(...((await store.erase?.()) ?? []));
    });
  }
  if (failures.length > 0) throw new Error(`cannot remove everything:\n${failures.join('\n')}`);
  await unmountExits(join(config.state, STATE.runner));
  const ofState = stateParts(handlers.map(({ stateDirectory }) => stateDirectory));
  return [...left, ...(await removeOwn(config.root, ROOT_PARTS)), ...(await removeOwn(config.state, ofState))];
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
