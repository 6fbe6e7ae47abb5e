import { createHash } from 'node:crypto';
import { badParameters } from '../../http/api-error.ts';
import { elements } from '../params/formats.ts';
import { flag, integer, oneOf, required, text, type Schema, type Values } from '../params/property.ts';
import type { Kind } from '../../config/kind.ts';
import { numberOf, type Call, type Method } from '../method.ts';
import { guestPath, onGuest } from './common.ts';

const levels = oneOf('emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug', 'nolog');
const policy = oneOf('ACCEPT', 'REJECT', 'DROP');

const options: Schema = {
  dhcp: flag,
  enable: flag,
  ipfilter: flag,
  log_level_in: levels,
  log_level_out: levels,
  macfilter: flag,
  ndp: flag,
  policy_in: policy,
  policy_out: policy,
  radv: flag,
};

const rule: Schema = {
  action: text({ pattern: /[A-Za-z][A-Za-z0-9\-_]+/, minLength: 2, maxLength: 20 }),
  type: oneOf('in', 'out', 'forward', 'group'),
  comment: text(),
  dest: text({ maxLength: 512 }),
  digest: text({ maxLength: 64 }),
  dport: text(),
  enable: integer(0),
  'icmp-type': text(),
  iface: text({ minLength: 2, maxLength: 20 }),
  log: levels,
  macro: text({ maxLength: 128 }),
  proto: text(),
  source: text({ maxLength: 512 }),
  sport: text(),
};

type Firewall = Call['state']['store']['firewall'][string];

function firewallOf(call: Call, kind: Kind): Firewall {
  return (call.state.store.firewall[`${kind.type}/${numberOf(call, 'vmid')}`] ??= { options: {}, rules: [] });
}

function digestOf(value: unknown): string {
  return createHash('sha1').update(JSON.stringify(value)).digest('hex');
}

function own({ params }: Call, ...apart: string[]): Values {
  return Object.fromEntries(
    Object.entries(params).filter(([key]) => !['node', 'vmid', 'digest', ...apart].includes(key)),
  );
}

function ruleAt(call: Call, kind: Kind): { rules: Values[]; pos: number } {
  const { rules } = firewallOf(call, kind);
  const pos = numberOf(call, 'pos');
  if (rules[pos] === undefined) throw badParameters({ pos: 'no such rule' });
  return { rules, pos };
}

/** Options and rules of a guest's firewall. */
export function firewallMethods(kind: Kind): Method[] {
  const base = guestPath(kind, '/firewall');
  const reading = onGuest('VM.Audit');
  const writing = onGuest('VM.Config.Network');
  return [
    {
      verb: 'GET',
      path: `${base}/options`,
      permission: reading,
      handle: (call) => {
        const found = firewallOf(call, kind).options;
        return { ...found, digest: digestOf(found) };
      },
    },
    {
      verb: 'PUT',
      path: `${base}/options`,
      permission: writing,
      protected: true,
      parameters: { ...options, delete: text(), digest: text({ maxLength: 64 }) },
      handle: (call) => {
        const found = firewallOf(call, kind).options;
        for (const key of elements(call.params['delete'])) Reflect.deleteProperty(found, key);
        Object.assign(found, own(call, 'delete'));
      },
    },
    {
      verb: 'GET',
      path: `${base}/rules`,
      permission: reading,
      handle: (call) => {
        const { rules } = firewallOf(call, kind);
        return rules.map((found, pos) => ({ ...found, pos, digest: digestOf(rules) }));
      },
    },
    {
      verb: 'POST',
      path: `${base}/rules`,
      permission: writing,
      protected: true,
      parameters: { ...rule, action: required(rule['action']!), type: required(rule['type']!), pos: integer(0) },
      handle: (call) => {
        // A new rule is the first one unless it says where it stands.
        firewallOf(call, kind).rules.splice(numberOf(call, 'pos'), 0, { enable: 0, ...own(call, 'pos') });
      },
    },
    {
      verb: 'GET',
      path: `${base}/rules/{pos}`,
      permission: reading,
      handle: (call) => {
        const { rules, pos } = ruleAt(call, kind);
        return { ...rules[pos], pos, digest: digestOf(rules) };
      },
    },
    {
      verb: 'PUT',
      path: `${base}/rules/{pos}`,
      permission: writing,
      protected: true,
      parameters: { ...rule, delete: text(), moveto: integer(0) },
      handle: (call) => {
        const { rules, pos } = ruleAt(call, kind);
        for (const key of elements(call.params['delete'])) Reflect.deleteProperty(rules[pos]!, key);
        Object.assign(rules[pos]!, own(call, 'delete', 'moveto', 'pos'));
        if (call.params['moveto'] !== undefined) rules.splice(numberOf(call, 'moveto'), 0, ...rules.splice(pos, 1));
      },
    },
    {
      verb: 'DELETE',
      path: `${base}/rules/{pos}`,
      permission: writing,
      protected: true,
      parameters: { digest: text({ maxLength: 64 }) },
      handle: (call) => {
        const { rules, pos } = ruleAt(call, kind);
        rules.splice(pos, 1);
      },
    },
  ];
}
