import type { ProxmoxGrants } from './cli/command.ts';
import { poolsOf } from './core/model/guest-pools.ts';
import { withParents } from './integrations/proxmox-api/diagnose/pools.ts';
import { requirementsOf } from './integrations/proxmox-api/diagnose/requirements.ts';
import { parseVersion } from './integrations/proxmox-api/version.ts';
import { guestPools, proxmoxNodeName } from './proxmox-node.ts';

/** What `doctor` asks for, without what only a part of the pods needs. */
export const proxmoxGrants: ProxmoxGrants = (config, version) => {
  const { storage, template_storage: templateStorage, bridges, networks } = config.proxmox;
  const pools = poolsOf(guestPools(config));
  const places = { node: proxmoxNodeName(config), pools, storage, templateStorage, bridges, networks };
  return Promise.resolve({
    pools: [...new Set(pools.filter((pool) => pool !== '').flatMap(withParents))],
    grants: requirementsOf(places, parseVersion(version)).filter(({ only }) => only === undefined),
  });
};
