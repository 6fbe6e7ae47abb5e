import { existsSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Where recorded facts about the real Proxmox VE lie, beside the checkout and never in it; undefined where they are not, and
 * then the reason why `what` is skipped has been printed.
 */
export function recorded(name: string, what: string): string | undefined {
  const path = join(import.meta.dirname, '../../../../shared/data', name);
  if (existsSync(path)) return path;
  console.log(`${what} skipped: shared/data/${name} is not beside the checkout.`);
  return undefined;
}
