import type { ErrorKind } from './proxmox-error.ts';

/** One kind of message of the server. */
export interface Rule {
  pattern: RegExp;
  kind: ErrorKind;
  /** The server writes first and complains afterwards: the call may have had its effect. */
  wrote?: true;
}

/**
 * The words of Proxmox VE 8.4 to 9.2 for status 500 (every `die` of its Perl code is one), for the texts of 400 and 403
 * that mean something more precise, and for the exit status of tasks. The first rule that matches counts. Messages begin
 * with different prefixes ("create pool failed: …"), so patterns are not anchored unless they must be.
 */
export const RULES: readonly Rule[] = [
  // Locks and the cluster's file system: their messages quote names that other rules would match.
  { pattern: /\b(CT|VM) is locked(?: \((?<lock>[\w-]+)\))?/, kind: 'locked' },
  { pattern: /no quorum|not quorate|cluster not ready/i, kind: 'noQuorum' },
  // The change waits for the next start, or is done in part: both come as an error of a parameter.
  { pattern: /hotplug problem|unable to hotplug|unable to apply pending change/, kind: 'unsupported', wrote: true },
  // QEMU did not answer in time; it may have acted.
  { pattern: /qmp command .* (failed|timeout)/i, kind: 'failed', wrote: true },
  // pmxcfs is read-only without quorum: a write is refused there by permissions.
  { pattern: /'?\/etc\/pve\/\S+ - (Permission denied|Input\/output error|Transport endpoint)/, kind: 'noQuorum' },
  {
    pattern: /can't (lock file|acquire lock|aquire lock)|got (lock request )?timeout|lock timeout/i,
    kind: 'lockTimeout',
  },
  { pattern: /unable to acquire|trying to acquire (cfs )?lock|got lock/i, kind: 'lockTimeout' },
  { pattern: /detected modified configuration/, kind: 'modified' },

  { pattern: /No space left on device|out of space|Disk quota exceeded|insufficient free space/i, kind: 'full' },
  { pattern: /not enough (free )?space|no free space|storage .* is full/i, kind: 'full' },
  { pattern: /unable to get any free VMID|no free (VMID|vmid)/, kind: 'exhausted' },
  { pattern: /dataset is busy|(device|target|resource) (is )?busy/i, kind: 'busy' },

  { pattern: /protection mode enabled/, kind: 'protected' },
  {
    pattern: /used in HA resources|is a replication job|is not empty \(contains|base volume '.*' is still in use/,
    kind: 'inUse',
  },
  { pattern: /belongs already to pool|is already a pool member/, kind: 'alreadyExists' },
  { pattern: /only root can set|Only root may use|only allowed for root@pam|user != root@pam/i, kind: 'rootOnly' },
  { pattern: /only root can/i, kind: 'rootOnly' },

  { pattern: /already running/, kind: 'alreadyRunning' },
  { pattern: /\bnot running\b/, kind: 'notRunning' },
  {
    pattern: /(container|CT|VM \d+) is running|if the CT is running|running container|is running - destroy/,
    kind: 'running',
  },
  { pattern: /already (exists|defined)|config(uration)? file already exists/, kind: 'alreadyExists' },

  // The bridge is looked up when the new configuration is put into effect, after it was written.
  { pattern: /bridge '.*' does not exist/, kind: 'unsupported', wrote: true },
  { pattern: /missing 'arch' - internal error/, kind: 'failed', wrote: true },
  {
    pattern: /unable to delete required option|unable to modify read-only option|no options specified/,
    kind: 'invalid',
  },
  { pattern: /unable to shrink|shrinking disks|already at specified size/, kind: 'invalid' },
  { pattern: /format error|missing value for required option|boundary rule broken/, kind: 'invalid' },
  { pattern: /unable to parse|cannot be used together|reserved name|only backups can have notes/, kind: 'invalid' },
  {
    pattern: /does not support '|is not available\b|not supported|only possible from|convert a (CT|VM|template)/,
    kind: 'unsupported',
  },
  { pattern: /can't migrate|cannot migrate|storage .* is (disabled|not (online|active|enabled))/, kind: 'unsupported' },
  { pattern: /no prune-backups options configured|failed - no format/, kind: 'unsupported' },

  { pattern: /hostname lookup '.*' failed|no such (cluster )?node/, kind: 'notFound' },
  {
    pattern: /does not exist|do(es)? not exist|\bno such (?!file)|not HA managed|could not find (CT|VM)/i,
    kind: 'notFound',
  },
  { pattern: /unable to find configuration file|no rule at position/, kind: 'notFound' },
];

/** The first rule for a message. */
export function ruleFor(message: string): { rule: Rule; lock: string | undefined } | undefined {
  for (const rule of RULES) {
    const match = rule.pattern.exec(message);
    if (match) return { rule, lock: match.groups?.['lock'] };
  }
  return undefined;
}

/** Statuses that are no `die`: what they mean without looking at the words. */
export const STATUS_KINDS: Readonly<Record<number, ErrorKind>> = {
  400: 'invalid',
  401: 'unauthenticated',
  403: 'forbidden',
  404: 'notFound',
  501: 'notImplemented',
  502: 'unreachable',
  503: 'unreachable',
  504: 'unreachable',
  // The statuses of AnyEvent::HTTP for the way to another node: connecting, sending, receiving, aborted, other.
  595: 'unreachable',
  596: 'unreachable',
  597: 'unreachable',
  598: 'unreachable',
  599: 'unreachable',
};

/**
 * True where the request may have got to the node, and its answer was lost. 595 should mean that the node was not reached;
 * with several daemons on the way it is not relied upon.
 */
export function isLostAnswer(status: number): boolean {
  return (status >= 595 && status <= 599) || (status >= 502 && status <= 504);
}
