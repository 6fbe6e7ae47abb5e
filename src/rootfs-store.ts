import { join } from 'node:path';
import type { Config } from './core/config/schema.ts';
import { type Finding, missing, ok } from './core/model/finding.ts';
import type { Logger } from './core/model/logger.ts';
import type { RootfsStore } from './core/model/rootfs.ts';
import { ROOT } from './core/state-layout.ts';
import { zfsClient } from './integrations/zfs/client.ts';
import { type Choice, chooseStore } from './integrations/zfs/store/choose.ts';
import { ZfsStore } from './integrations/zfs/store/zfs-store.ts';
import { OverlayStore } from './integrations/overlayfs/overlay-store.ts';
import { messageOf } from './utils/errors.ts';
import { exists } from './utils/fs/exists.ts';
import { namesIn } from './utils/fs/names.ts';

/** The store of root filesystems that the configuration chooses. @throws CriError naming the key and the remedy. */
export async function rootfsStore(config: Config, logger: Logger): Promise<RootfsStore> {
  const client = zfsClient();
  const choice = await choose(config, client);
  logger.info('Root filesystem store chosen', { ...choice });
  if (choice.store === 'overlayfs') return new OverlayStore({ root: join(config.root, ROOT.overlay), logger });
  return new ZfsStore({
    zfs: client.zfs,
    dataset: choice.dataset,
    root: config.root,
    mounts: join(config.root, ROOT.zfs),
    logger,
  });
}

/** Which store a start would choose, and why; changes nothing. */
export async function examineRootfs(config: Config): Promise<Finding[]> {
  const subject = 'root filesystems';
  try {
    const choice = await choose(config, zfsClient());
    if (choice.store === 'zfs') return [ok(subject, `ZFS in ${choice.dataset}: ${choice.reason}`)];
    const { reason, command } = choice;
    return [ok(subject, `overlayfs: ${reason}${command === undefined ? '' : `; "${command}" enables ZFS`}`)];
  } catch (error) {
    const message = messageOf(error);
    const remedy = message.lastIndexOf('; ');
    return [missing(subject, message.slice(0, remedy), message.slice(remedy + 2))];
  }
}

/** Exists while OpenZFS's kernel module is loaded: without it no pool is imported, and asking for one would load it. */
const MODULE = '/sys/module/zfs';

async function choose({ root, rootfs }: Config, client: ReturnType<typeof zfsClient>): Promise<Choice> {
  if (rootfs.store === 'auto' && !(await exists(MODULE))) return { store: 'overlayfs', reason: 'there is no ZFS' };
  return chooseStore(client, rootfs, async () => (await namesIn(join(root, ROOT.overlay, 'containers'))).length > 0);
}
