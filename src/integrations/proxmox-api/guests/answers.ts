import * as z from 'zod';
import { boolean, listOf, number, optional, text, words } from '../lenient.ts';
import { upidOf } from '../tasks/upid.ts';

/** The id of the task that does what was asked for. */
export const TASK_ID = text.transform((value, context) => {
  const upid = upidOf(value);
  if (upid) return upid;
  context.addIssue({ code: 'custom', message: 'expected the id of a task' });
  return z.NEVER;
});

export const GUEST_STATUS = z.object({
  vmid: number,
  status: z.enum(['stopped', 'running']),
  name: optional(text),
  lock: optional(text),
  tags: words,
  template: optional(boolean),
  pid: optional(number),
  uptime: optional(number),
  /** Part of all the guest's CPUs, 0 to 1. */
  cpu: optional(number),
  cpus: optional(number),
  mem: optional(number),
  maxmem: optional(number),
  swap: optional(number),
  maxswap: optional(number),
  disk: optional(number),
  maxdisk: optional(number),
  netin: optional(number),
  netout: optional(number),
  diskread: optional(number),
  diskwrite: optional(number),
  /** Of a VM: running, paused, prelaunch, … */
  qmpstatus: optional(text),
  ha: optional(z.object({ managed: boolean })),
});
/** How a guest is; sizes are bytes, times are seconds. */
export type GuestStatus = z.infer<typeof GUEST_STATUS>;

const CONFIG_FIELDS = z.object({
  digest: optional(text),
  hostname: optional(text),
  name: optional(text),
  memory: optional(number).catch(undefined),
  cores: optional(number),
  description: optional(text),
  tags: words,
  lock: optional(text),
  template: optional(boolean),
  protection: optional(boolean),
  unprivileged: optional(boolean),
  onboot: optional(boolean),
});
const RAW_KEYS = listOf(z.tuple([text, text]));

/** A guest's configuration. */
export interface GuestConfig {
  /** SHA-1 of the file; a change that names it fails when the file was changed since. */
  digest: string | undefined;
  /** `hostname` of a container, `name` of a virtual machine. */
  name: string | undefined;
  /** MiB; undefined where the server's default rules, or where it is a list of properties. */
  memory: number | undefined;
  cores: number | undefined;
  /** Without the line feed that the server adds. */
  description: string | undefined;
  tags: string[];
  lock: string | undefined;
  isTemplate: boolean;
  isProtected: boolean;
  isUnprivileged: boolean;
  startsAtBoot: boolean;
  /** Every key as the file has it; raw `lxc.*` keys are in `raw`. */
  values: Readonly<Record<string, string>>;
  raw: [string, string][];
}

export const GUEST_CONFIG = z.record(z.string(), z.unknown()).transform((all, context): GuestConfig => {
  const fields = CONFIG_FIELDS.safeParse(all);
  const raw = RAW_KEYS.safeParse(all['lxc']);
  if (!fields.success || !raw.success) {
    context.addIssue({ code: 'custom', message: (fields.error ?? raw.error)?.issues[0]?.message ?? 'malformed' });
    return z.NEVER;
  }
  const { hostname, name = hostname, template, protection, unprivileged, onboot, ...rest } = fields.data;
  const values: Record<string, string> = {};
  for (const [key, value] of Object.entries(all)) {
    const plain = text.safeParse(value);
    if (key !== 'digest' && plain.success) values[key] = plain.data;
  }
  return {
    digest: rest.digest,
    name,
    memory: rest.memory,
    cores: rest.cores,
    description: rest.description?.replace(/\n$/, ''),
    tags: rest.tags,
    lock: rest.lock,
    isTemplate: template ?? false,
    isProtected: protection ?? false,
    isUnprivileged: unprivileged ?? false,
    startsAtBoot: onboot ?? false,
    values,
    raw: raw.data,
  };
});

export const PENDING = listOf(
  z.object({
    key: text,
    value: optional(text),
    /** What it becomes when the guest stops. */
    pending: optional(text),
    /** It is removed when the guest stops. */
    delete: optional(number).transform((value) => (value ?? 0) > 0),
  }),
);
/** One key of a configuration, with the change that waits for the guest to stop. */
export type PendingValue = z.infer<typeof PENDING>[number];

export const SNAPSHOTS = listOf(
  z.object({
    /** `current` is no snapshot: it stands for the state that runs. */
    name: text,
    description: optional(text),
    parent: optional(text),
    /** Seconds since 1970. */
    snaptime: optional(number),
    vmstate: optional(boolean),
  }),
);
/** A snapshot of a guest. */
export type Snapshot = z.infer<typeof SNAPSHOTS>[number];

const NODES = optional(words);
/** Containers write `allowed-nodes`, virtual machines `allowed_nodes`. */
export const PRECONDITIONS = z
  .object({
    running: boolean,
    'allowed-nodes': NODES,
    allowed_nodes: NODES,
    'not-allowed-nodes': optional(z.record(z.string(), z.unknown())),
    not_allowed_nodes: optional(z.record(z.string(), z.unknown())),
    local_disks: listOf(z.object({ volid: optional(text) })),
    local_resources: optional(words),
  })
  .transform((all) => ({
    isRunning: all.running,
    /** Undefined where the server has not worked it out, as for a running virtual machine. */
    allowedNodes: all['allowed-nodes'] ?? all.allowed_nodes,
    /** The reasons by node, as the server gives them. */
    refusedNodes: all['not-allowed-nodes'] ?? all.not_allowed_nodes ?? {},
    localDisks: all.local_disks.map(({ volid }) => volid).filter((volid) => volid !== undefined),
    localResources: all.local_resources ?? [],
  }));
/** Where a guest could be moved to. */
export type MigratePreconditions = z.infer<typeof PRECONDITIONS>;
