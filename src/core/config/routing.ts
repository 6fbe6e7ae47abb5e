import * as z from 'zod';
import { matchesEveryPod, type RoutingRule } from '../model/routing.ts';
import { isTable, type Table, valueAt } from './tables.ts';

/** The handler whose pods are LXC containers of this host, and that whose pods are containers of Proxmox. */
const [LOCAL, GUESTS] = ['lxc', 'proxmox-lxc'];

const GLOB = '`*` stands for any characters';

const globs = z.record(z.string(), z.string()).refine((table) => Object.keys(table).length > 0, 'must not be empty');

/** The list of tables `[[routing]]`; `handlerName` accepts the names of the declared handlers. */
export function routingTables(handlerName: z.ZodType<string, string>) {
  const rule = z.strictObject({
    name: z
      .string()
      .regex(/^[^\0\n\r]*$/, 'must be on one line')
      .default('')
      .describe('shown beside the rule\'s position, as `pods --wide` and the log name it: "routing[0] (NAME)"'),
    namespaces: z.array(z.string().min(1)).min(1).exactOptional().describe(`namespaces of pods; ${GLOB}`),
    labels: globs.exactOptional().describe(`labels that a pod has, with their values; ${GLOB}`),
    annotations: globs.exactOptional().describe(`annotations that a pod has, with their values; ${GLOB}`),
    host_network: z.boolean().exactOptional().describe("whether a pod has the node's network"),
    privileged: z.boolean().exactOptional().describe('whether a container of a pod is privileged'),
    handler: handlerName.describe('handler of the pods that meet all of these conditions'),
  });
  return z
    .array(rule)
    .default([])
    .superRefine((rules, context) => {
      const last = rules.findIndex(matchesEveryPod);
      if (last === -1 || last === rules.length - 1) return;
      const message = 'has no condition, so that the rules after it have no effect; add one, or make it the last rule';
      context.addIssue({ code: 'custom', path: [last], message, input: rules[last] });
    })
    .describe(
      'rules that choose the handler of a pod without a RuntimeClass: the first whose conditions all hold, and when none does ' +
        'runtime.default_handler. See docs/routing.md. With proxmox.hosts and without routing, pods with the host network or a privileged ' +
        'container are of "lxc" and all others of "proxmox-lxc"; `routing = []` disables that',
    )
    .meta({ examples: [[{ name: 'critical', namespaces: ['kube-system', 'infra-*'], handler: LOCAL }]] });
}

/**
 * A configuration as it was read, with the rules of a Proxmox VE node added if it has `proxmox.hosts` and no rules of its own.
 * A default handler that it names stays the handler of the pods that no condition is about.
 * @param handlers names of the declared handlers; without the ones that the rules name there are none.
 */
export function withShippedRouting(input: Table, handlers: readonly string[]): Table {
  const hosts = valueAt(input, ['proxmox', 'hosts']);
  const isNode = Array.isArray(hosts) && hosts.length > 0;
  if (!isNode || input['routing'] !== undefined || ![LOCAL, GUESTS].every((name) => handlers.includes(name)))
    return input;
  const hasDefault = isTable(input['runtime']) && input['runtime']['default_handler'] !== undefined;
  const routing: RoutingRule[] = [
    { name: 'host network', host_network: true, handler: LOCAL },
    { name: 'privileged', privileged: true, handler: LOCAL },
    ...(hasDefault ? [] : [{ name: 'guests', handler: GUESTS }]),
  ];
  return { ...input, routing };
}
