import { rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Handler } from './backends/handler.ts';
import type { Config } from './core/config/schema.ts';
import { createLogger } from './core/logging/logger.ts';
import { Metrics } from './core/metrics/metrics.ts';
import { isErrno, messageOf } from './utils/errors.ts';
import { build, claim, recover } from './server.ts';
import { removeTree } from './host/trees/remove-tree.ts';
import { unmountBelow } from './host/mounts/mount.ts';

/** What the server makes in its folders; an operator's own files beside them stay. */
const ROOT_PARTS = ['sandboxes', 'containers', 'images', 'content', 'overlay', 'volumes', 'import'];
const STATE_PARTS = ['sandboxes', 'runner', 'lxc', 'crun-sandboxes', 'helpers'];

/**
 * Removes everything of a server that does not run, with the server's own parts: recovery first, which also clears what no
 * record knows, then every pod with its containers, every image, and the folders.
 * @throws CriError FAILED_PRECONDITION while a server uses the root; Error when something cannot be removed, and the
 *   records of it stay for another try.
 */
export async function wipe(handlers: readonly Handler[], config: Config): Promise<void> {
  const logger = createLogger({ ...config.log, level: 'error' });
  await claim(config, logger);
  const services = await build(handlers, config, logger, new Metrics());
  await recover(services);
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
  await removeFolder(config.root, ROOT_PARTS);
  await removeFolder(config.state, STATE_PARTS);
}

async function removeFolder(folder: string, parts: readonly string[]): Promise<void> {
  await unmountBelow(folder);
  await removeTree(...parts.map((part) => join(folder, part)));
  try {
    await rmdir(folder);
  } catch (error) {
    // What the operator put there stays; so does a folder that is a mount point.
    if (!isErrno(error, 'ENOTEMPTY', 'ENOENT', 'EBUSY')) throw error;
  }
}
