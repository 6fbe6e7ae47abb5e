import { requirePower, startAll, stopAll } from '../../guests/bulk.ts';
import { listOf, vmid } from '../params/formats.ts';
import { flag, integer, text, type Schema } from '../params/property.ts';
import type { Method, Permission } from '../method.ts';

const permission: Permission = { check: (request) => requirePower(request) };
const common: Schema = {
  vms: text({ format: listOf(vmid) }),
  'max-workers': { ...integer(1, 64), only: '9' },
};

/** Starting and ending all guests of a node. */
export const bulkMethods: readonly Method[] = [
  {
    verb: 'POST',
    path: '/nodes/{node}/startall',
    permission,
    protected: true,
    parameters: { ...common, force: flag },
    handle: startAll,
  },
  {
    verb: 'POST',
    path: '/nodes/{node}/stopall',
    permission,
    protected: true,
    parameters: { ...common, 'force-stop': flag, timeout: integer(0, 7200) },
    handle: stopAll,
  },
];
