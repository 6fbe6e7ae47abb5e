import * as z from 'zod';
import type { Api } from '../api.ts';
import type { CallOptions, Parameters } from '../call.ts';
import { type GuestRef, guestTemplate } from '../guests/guest.ts';
import { boolean, ignored, listOf, number, optional, text } from '../lenient.ts';

const OPTIONS = z.object({
  enable: optional(boolean),
  dhcp: optional(boolean),
  ndp: optional(boolean),
  radv: optional(boolean),
  macfilter: optional(boolean),
  ipfilter: optional(boolean),
  policy_in: optional(text),
  policy_out: optional(text),
  log_level_in: optional(text),
  log_level_out: optional(text),
});
/** The options of a guest's firewall; an absent one has the server's default. */
export type FirewallOptions = z.infer<typeof OPTIONS>;

const RULE = z.object({
  /** Its place: rules are tried from 0 on. */
  pos: number,
  type: text,
  action: text,
  enable: optional(boolean),
  source: optional(text),
  dest: optional(text),
  proto: optional(text),
  sport: optional(text),
  dport: optional(text),
  macro: optional(text),
  iface: optional(text),
  comment: optional(text),
});
/** A rule of a guest's firewall. */
export type FirewallRule = z.infer<typeof RULE>;

/** A rule to be made. */
export type NewRule = Readonly<{ type: 'in' | 'out' | 'group'; action: string } & Parameters>;

const CLUSTER_OPTIONS = z.object({
  /** Not 0: nothing is filtered on any node otherwise. */
  enable: optional(number),
});
/** The options of the cluster's firewall. */
export type ClusterFirewallOptions = z.infer<typeof CLUSTER_OPTIONS>;

const GROUP = z.object({ group: text, comment: optional(text) });
/** A security group: rules that guests have by its name. */
export type SecurityGroup = z.infer<typeof GROUP>;

const NAMED = z.object({ name: text, comment: optional(text) });
/** An alias of an address, or a set of addresses. */
export type FirewallName = z.infer<typeof NAMED>;

/**
 * The firewalls of guests: one file a VMID, whatever the kind, which deleting the guest removes. Without a guest they are
 * those of the next one. Errors are those of `Api.call`.
 */
export class Firewall {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /** The options of the whole cluster. */
  clusterOptions(options?: CallOptions): Promise<ClusterFirewallOptions> {
    return this.#api.call({ method: 'GET', template: '/cluster/firewall/options' }, CLUSTER_OPTIONS, options);
  }

  /** The security groups of the cluster. */
  groups(options?: CallOptions): Promise<SecurityGroup[]> {
    return this.#api.call({ method: 'GET', template: '/cluster/firewall/groups' }, listOf(GROUP), options);
  }

  options(ref: GuestRef, options?: CallOptions): Promise<FirewallOptions> {
    return this.#api.call(at(ref, 'GET', '/options'), OPTIONS, options);
  }

  /** Sets options; `remove` names those that get their default again. */
  configure(ref: GuestRef, set: Parameters, remove: readonly string[] = [], options?: CallOptions): Promise<void> {
    const params = { ...set, delete: remove.length > 0 ? remove.join(',') : undefined };
    return this.#api.call({ ...at(ref, 'PUT', '/options'), params }, ignored, options);
  }

  rules(ref: GuestRef, options?: CallOptions): Promise<FirewallRule[]> {
    return this.#api.call(at(ref, 'GET', '/rules'), listOf(RULE), options);
  }

  /** Adds a rule before all others, or at `pos`. */
  addRule(ref: GuestRef, rule: NewRule, options?: CallOptions): Promise<void> {
    return this.#api.call({ ...at(ref, 'POST', '/rules'), params: rule }, ignored, options);
  }

  aliases(ref: GuestRef, options?: CallOptions): Promise<FirewallName[]> {
    return this.#api.call(at(ref, 'GET', '/aliases'), listOf(NAMED), options);
  }

  /** The sets of addresses. */
  ipsets(ref: GuestRef, options?: CallOptions): Promise<FirewallName[]> {
    return this.#api.call(at(ref, 'GET', '/ipset'), listOf(NAMED), options);
  }

  deleteRule(ref: GuestRef, pos: number, options?: CallOptions): Promise<void> {
    const { method, template, at: names } = at(ref, 'DELETE', '/rules/{pos}');
    return this.#api.call({ method, template, at: { ...names, pos } }, ignored, options);
  }
}

function at<M extends 'GET' | 'POST' | 'PUT' | 'DELETE'>({ kind, node, vmid }: GuestRef, method: M, rest: string) {
  return { method, template: guestTemplate(kind, `/firewall${rest}`), at: { node, vmid } };
}
