import { createHash } from 'node:crypto';
import { badParameters } from '../../http/api-error.ts';
import { integer, oneOf, required, text } from '../params/property.ts';
import type { Call, Method } from '../method.ts';
import type { ClusterFirewall } from '../../state/store.ts';

const policy = oneOf('ACCEPT', 'REJECT', 'DROP');

function firewallOf({ state }: Call): ClusterFirewall {
  return (state.store.clusterFirewall ??= { options: {}, groups: [] });
}

/** Options and security groups of the cluster's firewall; what is in a group is left out. */
export const clusterFirewallMethods: readonly Method[] = [
  {
    verb: 'GET',
    path: '/cluster/firewall/options',
    permission: { path: '/', privileges: ['Sys.Audit'] },
    handle: (call) => firewallOf(call).options,
  },
  {
    verb: 'PUT',
    path: '/cluster/firewall/options',
    permission: { path: '/', privileges: ['Sys.Modify'] },
    protected: true,
    parameters: { enable: integer(0), policy_in: policy, policy_out: policy },
    handle: (call) => {
      Object.assign(firewallOf(call).options, call.params);
    },
  },
  {
    verb: 'GET',
    path: '/cluster/firewall/groups',
    permission: 'all',
    handle: (call) => {
      const { groups } = firewallOf(call);
      const digest = createHash('sha1').update(JSON.stringify(groups)).digest('hex');
      return groups.map((group) => ({ group, digest }));
    },
  },
  {
    verb: 'POST',
    path: '/cluster/firewall/groups',
    permission: { path: '/', privileges: ['Sys.Modify'] },
    protected: true,
    parameters: {
      group: required(text({ pattern: /[A-Za-z][A-Za-z0-9\-_]+/, minLength: 2, maxLength: 18 })),
      comment: text(),
    },
    handle: (call) => {
      const { groups } = firewallOf(call);
      const group = String(call.params['group']);
      if (groups.includes(group)) throw badParameters({ group: `Security group '${group}' already exists` });
      groups.push(group);
    },
  },
];
