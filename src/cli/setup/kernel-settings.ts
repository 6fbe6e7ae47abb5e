/** A kernel parameter of a node, and the least value that it needs. */
export interface KernelParameter {
  name: string;
  least: number;
  /** A sentence. */
  why: string;
}

export const KERNEL_PARAMETERS: readonly KernelParameter[] = [
  { name: 'net.ipv4.ip_forward', least: 1, why: 'Pods reach other networks through this node.' },
  {
    name: 'fs.inotify.max_user_instances',
    least: 8192,
    why: "Each process of a pod that watches files has an instance of root's.",
  },
  // The most that Linux sets by itself, on large machines: it is never lowered.
  { name: 'fs.inotify.max_user_watches', least: 1_048_576, why: 'The same of its watches.' },
];

/** Modules of the kernel that nothing loads by itself, and why. */
export const KERNEL_MODULES = [{ name: 'overlay', why: 'Root filesystems of containers.' }] as const;

/** The parameters as a file of sysctl.d(5). */
export function sysctlConf(): string {
  return KERNEL_PARAMETERS.map(({ name, least, why }) => `# ${why}\n${name} = ${String(least)}\n`).join('');
}

/** The modules as a file of modules-load.d(5). */
export function modulesLoadConf(): string {
  return KERNEL_MODULES.map(({ name, why }) => `# ${why}\n${name}\n`).join('');
}
