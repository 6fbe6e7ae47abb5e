import { messageOf } from '../../model/errors.ts';
import type { Logger } from '../../model/logger.ts';
import type { SandboxProvider } from '../../model/sandbox-provider.ts';

/**
 * Ends and removes the sandboxes that a provider finds on the machine and no record knows; `forget` removes what else was
 * kept of one. One that cannot be removed is reported and left.
 */
export async function discardOrphans(
  provider: SandboxProvider,
  known: (id: string) => boolean,
  forget: (id: string) => Promise<void>,
  logger: Logger,
): Promise<void> {
  if ((await provider.unavailableBecause()) !== undefined) return;
  for (const id of await provider.list()) {
    if (known(id)) continue;
    logger.warn('Removing a sandbox that no record knows', { sandbox: id, handler: provider.handler });
    try {
      await provider.discard(id);
      await forget(id);
    } catch (error) {
      logger.error('Cannot remove a sandbox', { sandbox: id, error: messageOf(error) });
    }
  }
}
