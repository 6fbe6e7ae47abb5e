import { type RootfsOfHandler, rootfsOfHandler } from './core/config/rootfs.ts';
import type { Config } from './core/config/schema.ts';
import { readZfsStorages, type ZfsStorage } from './host/proxmox-storage.ts';
import type { ZfsClient } from './integrations/zfs/client.ts';
import { type Choice, chooseStore } from './integrations/zfs/store/choose.ts';
import { exists } from './utils/fs/exists.ts';

/** Exists while OpenZFS's kernel module is loaded: without it no pool is imported, and asking for one would load it. */
const MODULE = '/sys/module/zfs';

/** What chooses the store of a handler's new root filesystems; it changes nothing. @throws as {@link chooseStore}. */
export type ChooseRootfs = (handler: string) => Promise<Choice>;

/** Makes one for a configuration; handlers that ask for the same share the answer. */
export function rootfsChooser(config: Config, client: ZfsClient): ChooseRootfs {
  let storages: Promise<readonly ZfsStorage[]> | undefined;
  const choose = async (wanted: RootfsOfHandler): Promise<Choice> => {
    if (wanted.store === 'auto' && !(await exists(MODULE))) return { store: 'overlayfs', reason: 'there is no ZFS' };
    return chooseStore(client, wanted, await (storages ??= readZfsStorages()));
  };
  const choices = new Map<string, Promise<Choice>>();
  return (handler) => {
    const wanted = rootfsOfHandler(config, handler);
    const key = [wanted.store, wanted.dataset, wanted.table].join(' ');
    const choice = choices.get(key) ?? choose(wanted);
    choices.set(key, choice);
    return choice;
  };
}
