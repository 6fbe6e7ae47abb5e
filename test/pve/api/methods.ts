import { lxc, qemu, type Kind } from '../config/kind.ts';
import { permissionMethods } from './access/permissions.ts';
import { sessionMethods } from './access/session.ts';
import { tokenMethods } from './access/tokens.ts';
import { userMethods } from './access/users.ts';
import { clusterMethods } from './cluster/cluster.ts';
import { configuredMethods } from './cluster/configured.ts';
import { clusterFirewallMethods } from './cluster/firewall.ts';
import { poolMethods } from './cluster/pools.ts';
import { resourceMethods } from './cluster/resources.ts';
import { storageConfigMethods } from './cluster/storages.ts';
import { configMethods } from './guests/config.ts';
import { copyMethods } from './guests/copies.ts';
import { firewallMethods } from './guests/firewall.ts';
import { indexMethods } from './guests/index.ts';
import { machineMethods } from './guests/machine.ts';
import { powerMethods } from './guests/power.ts';
import { snapshotMethods } from './guests/snapshots.ts';
import type { Method } from './method.ts';
import { contentMethods } from './nodes/content.ts';
import { networkMethods } from './nodes/network.ts';
import { bulkMethods } from './nodes/bulk.ts';
import { nodeMethods } from './nodes/nodes.ts';
import { storageMethods } from './nodes/storage.ts';
import { taskMethods } from './nodes/tasks.ts';
import { uploadMethods } from './nodes/upload.ts';

function guestMethods(kind: Kind): Method[] {
  return [indexMethods, configMethods, powerMethods, copyMethods, snapshotMethods, firewallMethods].flatMap((of) =>
    of(kind),
  );
}

/** Every method of the simulated node. */
export const methods: readonly Method[] = [
  ...sessionMethods,
  ...userMethods,
  ...tokenMethods,
  ...permissionMethods,
  ...clusterMethods,
  ...configuredMethods,
  ...clusterFirewallMethods,
  ...poolMethods,
  ...resourceMethods,
  ...nodeMethods,
  ...bulkMethods,
  ...networkMethods,
  ...taskMethods,
  ...storageConfigMethods,
  ...storageMethods,
  ...contentMethods,
  ...uploadMethods,
  ...guestMethods(lxc),
  ...guestMethods(qemu),
  ...machineMethods,
];
