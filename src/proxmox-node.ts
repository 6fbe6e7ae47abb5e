import { hostname } from 'node:os';
import { join } from 'node:path';
import { rangeOf } from './backends/proxmox/guests/vmid-ranges.ts';
import type { ProxmoxNode } from './backends/proxmox-node.ts';
import type { Config } from './core/config/schema.ts';
import { failedPrecondition } from './core/model/errors.ts';
import type { GuestPools } from './core/model/guest-pools.ts';
import { ROOT } from './core/state-layout.ts';
import { leaveMemoryOutOfCoreDumps } from './host/processes/core-dumps.ts';
import type { ProxmoxClient } from './integrations/proxmox-api/client.ts';
import { AmbiguousOutcomeError, isKind } from './integrations/proxmox-api/errors/proxmox-error.ts';
import type { Observer } from './integrations/proxmox-api/observe.ts';
import { directoryOf } from './integrations/proxmox-api/storage-directory.ts';

/** Name of the node of the cluster that this server runs the pods of. */
export function proxmoxNodeName({ proxmox }: Config): string {
  return proxmox.node || (hostname().split('.', 1)[0] ?? '');
}

/** The resource pools of the guests of pods. */
export function guestPools({ proxmox }: Config): GuestPools {
  return { rules: proxmox.pools, otherwise: proxmox.pool };
}

/** The node of Proxmox VE that `[proxmox]` names; nothing is read or asked before its API is needed. */
export function openProxmox(
  config: Config,
  observer?: Observer,
): ProxmoxNode & {
  /** The directory of a storage on the node. @throws CriError FAILED_PRECONDITION without an API; as {@link directoryOf}. */
  storageDirectory: (storage: string, signal?: AbortSignal) => Promise<string>;
} {
  const { storage, template_storage: templateStorage, vmids, networks, token_id: user } = config.proxmox;
  const name = proxmoxNodeName(config);
  let client: Promise<ProxmoxClient> | undefined;
  const api = () => {
    client ??= connect(config, observer).catch((error: unknown) => {
      client = undefined;
      throw error;
    });
    return client;
  };
  return {
    ...{ name, user, storage, templateStorage, pools: guestPools(config) },
    vmidMap: join(config.root, ROOT.vmids),
    addressMap: join(config.root, ROOT.addresses),
    networks,
    vmids: () => rangeOf(name, vmids, 'proxmox.vmids'),
    api,
    storageDirectory: async (storage, signal) => {
      if (config.proxmox.hosts.length > 0) return directoryOf(await api(), { node: name, storage }, { signal });
      throw failedPrecondition(
        `image.image: ${storage} is a storage of Proxmox VE, whose API is not configured; set proxmox.hosts, or pull bfc:///PATH/FILE.bfc below bfc.directory`,
      );
    },
    isUncertain: (error) => error instanceof AmbiguousOutcomeError,
    isInUse: (error) => isKind(error, 'inUse'),
  };
}

async function connect({ proxmox }: Config, observer: Observer | undefined): Promise<ProxmoxClient> {
  const { connectProxmox } = await import('./integrations/proxmox-api/client.ts');
  await leaveMemoryOutOfCoreDumps();
  const { hosts, ca_file: file, fingerprints, token_id: id, token_file: secret } = proxmox;
  return connectProxmox({
    hosts,
    trust: { ...(file !== '' && { ca: { file } }), ...(fingerprints.length > 0 && { fingerprints }) },
    credentials: { kind: 'token', id, secret: { file: secret } },
    ...(observer !== undefined && { observer }),
  });
}
