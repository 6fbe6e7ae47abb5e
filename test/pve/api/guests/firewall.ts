import { createHash } from 'node:crypto';
import { badParameters } from '../../http/api-error.ts';
import { elements } from '../params/formats.ts';
import { flag, integer, oneOf, required, text, type Schema, type Values } from '../params/property.ts';
import type { Kind } from '../../config/kind.ts';
import { numberOf, type Call, type Method } from '../method.ts';
import type { Firewall } from '../../state/store.ts';
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

function firewallOf({ state, params }: Call): Firewall {
  return (state.store.firewall[String(params['vmid'])] ??= { options: {}, rules: [], aliases: {}, ipset: {} });
}

function digestOf(value: unknown): string {
  return createHash('sha1').update(JSON.stringify(value)).digest('hex');
}

function own({ params }: Call, ...apart: string[]): Values {
  return Object.fromEntries(
    Object.entries(params).filter(([key]) => !['node', 'vmid', 'digest', ...apart].includes(key)),
  );
}

function ruleAt(call: Call): { rules: Values[]; pos: number } {
  const { rules } = firewallOf(call);
  const pos = numberOf(call, 'pos');
  if (rules[pos] === undefined) throw badParameters({ pos: 'no such rule' });
  return { rules, pos };
}

/** The names of a kind in a guest's firewall: they are listed, made, and removed. */
function nameMethods(kind: Kind, room: 'aliases' | 'ipset', parameters: Schema, label: string): Method[] {
  const path = guestPath(kind, `/firewall/${room}`);
  const name = text({ pattern: /[A-Za-z][A-Za-z0-9\-_]+/, minLength: 2, maxLength: 64 });
  return [
    {
      verb: 'GET',
      path,
      permission: onGuest('VM.Audit'),
      handle: (call) => {
        const all = Object.entries(firewallOf(call)[room]);
        return all.map(([its, values]) => ({ name: its, ...values, digest: digestOf(all) }));
      },
    },
    {
      verb: 'POST',
      path,
      permission: onGuest('VM.Config.Network'),
      protected: true,
      parameters: { name: required(name), comment: text(), ...parameters },
      handle: (call) => {
        const all = firewallOf(call)[room];
        const its = String(call.params['name']);
        if (all[its] !== undefined) throw badParameters({ name: `${label} '${its}' already exists` });
        all[its] = own(call, 'name');
      },
    },
    {
      verb: 'DELETE',
      path: `${path}/{name}`,
      permission: onGuest('VM.Config.Network'),
      protected: true,
      handle: (call) => {
        Reflect.deleteProperty(firewallOf(call)[room], String(call.params['name']));
      },
    },
  ];
}

/** Options, rules and names of a guest's firewall. */
export function firewallMethods(kind: Kind): Method[] {
  const base = guestPath(kind, '/firewall');
  const reading = onGuest('VM.Audit');
  const writing = onGuest('VM.Config.Network');
  return [
    ...nameMethods(kind, 'aliases', { cidr: required(text()) }, 'alias'),
    ...nameMethods(kind, 'ipset', {}, 'IPSet'),
    {
      verb: 'GET',
      path: `${base}/options`,
      permission: reading,
      handle: (call) => {
        const found = firewallOf(call).options;
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
        const found = firewallOf(call).options;
        for (const key of elements(call.params['delete'])) Reflect.deleteProperty(found, key);
        Object.assign(found, own(call, 'delete'));
      },
    },
    {
      verb: 'GET',
      path: `${base}/rules`,
      permission: reading,
      handle: (call) => {
        const { rules } = firewallOf(call);
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
        firewallOf(call).rules.splice(numberOf(call, 'pos'), 0, { enable: 0, ...own(call, 'pos') });
      },
    },
    {
      verb: 'GET',
      path: `${base}/rules/{pos}`,
      permission: reading,
      handle: (call) => {
        const { rules, pos } = ruleAt(call);
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
        const { rules, pos } = ruleAt(call);
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
        const { rules, pos } = ruleAt(call);
        rules.splice(pos, 1);
      },
    },
  ];
}
