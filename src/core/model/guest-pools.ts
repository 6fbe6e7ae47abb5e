import { matchesGlob } from './glob.ts';

/** The resource pool of Proxmox VE for the guests of pods in some namespaces. */
export interface PoolRule {
  /** Patterns as those of `matchesGlob`. */
  namespaces: readonly string[];
  pool: string;
}

/** The resource pools of the guests of pods. */
export interface GuestPools {
  rules: readonly PoolRule[];
  /** Of pods that no rule matches; empty for none. */
  otherwise: string;
}

/** The pool for a pod of a namespace, by the first rule that matches; empty for none. */
export function poolOf(namespace: string, { rules, otherwise }: GuestPools): string {
  const matches = ({ namespaces }: PoolRule) => namespaces.some((pattern) => matchesGlob(pattern, namespace));
  return rules.find(matches)?.pool ?? otherwise;
}

/** Every pool that a guest may be in, each once; the empty one stands for none. */
export function poolsOf({ rules, otherwise }: GuestPools): string[] {
  return [...new Set([otherwise, ...rules.map(({ pool }) => pool)])];
}
