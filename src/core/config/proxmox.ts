import * as z from 'zod';
import { proxmoxNetworks } from './proxmox-networks.ts';
import type { VmidRanges } from './vmid-ranges.ts';

const absolutePath = z.string().regex(/^$|^\/[^\0\n\r]*$/, 'must be an absolute path, or "" for none');

/** Names of Proxmox: nodes, storages, pools, bridges, zones. */
const NAME = String.raw`[A-Za-z0-9][\w.-]*`;

/** A resource pool with its parents before it. */
const POOL = `${NAME}(?:/${NAME}){0,2}`;

const named = (pattern: string, remedy: string) => z.string().regex(new RegExp(`^(?:${pattern})$`), remedy);

const bridge = named(
  `${NAME}(?:/${NAME})?`,
  'must be a bridge, such as "vmbr0", or a virtual network with its zone, such as "zone/vnet"',
);

/** Keys that only mean something together with `hosts`, and have no default but none. */
const NEEDS_HOSTS = [
  'ca_file',
  'fingerprints',
  'token_id',
  'token_file',
  'local_root_ticket',
  'pools',
  'networks',
  'vmids',
] as const;

/** The table `[proxmox]`; `vmids` is the schema of the ranges. */
export function proxmoxTable(vmids: z.ZodType<VmidRanges>) {
  return z
    .strictObject({
      hosts: z
        .array(
          z
            .string()
            .regex(
              /^(?:\[[0-9a-fA-F:]+\]|[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:]*|[A-Za-z0-9][A-Za-z0-9.-]*)(?::\d{1,5})?$/,
              'must be a host name or address without "https://", with an optional port, such as "pve1.example" or "[2001:db8::1]:8006"',
            ),
        )
        .default([])
        .describe(
          'hosts of the Proxmox VE cluster, each with an optional port (8006 unless named), in order of preference; empty: no Proxmox VE',
        )
        .meta({ examples: [['pve1.example', 'pve2.example']] }),
      ca_file: absolutePath
        .default('')
        .describe(
          "PEM file of the authority that signed the hosts' certificates, on a node /etc/pve/pve-root-ca.pem; this or fingerprints is " +
            'required, and with both, both must hold',
        ),
      fingerprints: z
        .array(
          z
            .string()
            .regex(
              /^(?:[0-9a-fA-F]{2}:?){31}[0-9a-fA-F]{2}$/,
              'must be a SHA-256 fingerprint of 32 bytes in hexadecimal, as `pvenode cert info` prints it',
            ),
        )
        .default([])
        .describe("SHA-256 fingerprints of the hosts' certificates, as `pvenode cert info` prints them"),
      token_id: z
        .string()
        .regex(
          /^$|^[^\s:/!=]+@[A-Za-z][\w.-]+![A-Za-z][\w.-]+$/,
          'must be the id of an API token, "USER@REALM!NAME", without its secret',
        )
        .default('')
        .describe('API token, USER@REALM!NAME')
        .meta({ examples: ['k8s@pve!node'] }),
      token_file: absolutePath
        .default('')
        .describe(
          "file with the token's secret alone, readable by root only; it is read again when the token is refused",
        ),
      local_root_ticket: z
        .boolean()
        .default(false)
        .describe(
          'make tickets of root@pam with the keys below /etc/pve, for the few calls that no token may make; only on a node of the cluster',
        ),
      node: named(`|${NAME}`, 'must be the name of a node, or ""')
        .default('')
        .describe('node of the cluster that runs the pods; "" is the host name of this machine'),
      pool: named(`|${POOL}`, 'must be the name of a resource pool, or "" for none')
        .default('')
        .describe(
          'resource pool of the guests; "" for none. With a pool the token may change the guests of the pool only',
        ),
      pools: z
        .array(
          z.strictObject({
            namespaces: z.array(z.string().min(1)).min(1).describe('namespaces of pods; `*` stands for any characters'),
            pool: named(POOL, 'must be the name of a resource pool').describe('resource pool of their guests'),
          }),
        )
        .default([])
        .describe('resource pools of guests by the namespaces of their pods, in place of pool; the first that matches')
        .meta({ examples: [[{ namespaces: ['team-a', 'team-a-*'], pool: 'k8s/team-a' }]] }),
      storage: named(NAME, 'must be the name of a storage, as in Datacenter > Storage')
        .default('local-zfs')
        .describe("storage of the guests' root filesystems"),
      template_storage: named(NAME, 'must be the name of a storage, as in Datacenter > Storage')
        .default('local')
        .describe('storage of the templates of guests; its content includes container templates'),
      bridges: z
        .array(bridge)
        .default(['vmbr0'])
        .describe('bridges of the guests; a virtual network of the SDN with its zone, as ZONE/VNET'),
      networks: proxmoxNetworks(bridge, named(NAME, 'must be the name of a node')),
      vmids: vmids
        .default({})
        .describe(
          'VMIDs of the pods of each node, by node name; the same table on every node of the cluster, without overlaps',
        )
        .meta({ examples: [{ pve1: { first: 100_000, size: 300 }, pve2: { first: 100_300, size: 300 } }] }),
    })
    .superRefine((table, context) => {
      const problem = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
      if (table.hosts.length === 0) {
        const given = NEEDS_HOSTS.find((key) => isGiven(table[key]));
        if (given !== undefined) problem('hosts', `must name at least one host when proxmox.${given} is set`);
        return;
      }
      if (table.ca_file === '' && table.fingerprints.length === 0)
        problem(
          'ca_file',
          'must name the authority of the hosts, unless proxmox.fingerprints names their certificates',
        );
      for (const key of ['token_id', 'token_file'] as const) {
        if (table[key] === '')
          problem(key, 'must be set when proxmox.hosts is; create a token with `pveum user token add`');
      }
    })
    .prefault({})
    .describe(
      'the API of a Proxmox VE cluster, 8.4 or 9, for the handler proxmox-lxc. Certificates are always checked, and secrets are read from files',
    );
}

function isGiven(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return value !== '' && value !== false;
}
