import { isRecord } from './cni-config.ts';

/**
 * The addresses in an ADD result (CNI specification, section 5), without prefix length: those of the pod's interface
 * first in the plugin's order. Addresses of interfaces outside the namespace are left out.
 */
export function addressesOf(result: unknown): string[] {
  if (!isRecord(result) || !Array.isArray(result.ips)) return [];
  const interfaces: unknown[] = Array.isArray(result.interfaces) ? result.interfaces : [];
  const addresses: string[] = [];
  for (const ip of result.ips as unknown[]) {
    if (!isRecord(ip) || typeof ip.address !== 'string') continue;
    const owner = typeof ip.interface === 'number' ? interfaces[ip.interface] : undefined;
    if (isRecord(owner) && (typeof owner.sandbox !== 'string' || owner.sandbox === '')) continue;
    addresses.push(ip.address.replace(/\/.*$/, ''));
  }
  return addresses;
}

/** The result of an attachment in a record; undefined for one that is not known. */
export function parseResult(text: string): unknown {
  return text === '' ? undefined : JSON.parse(text);
}

/** A result whose interfaces in one namespace are in the same one by another path: CHECK compares it with its own. */
export function renamedNamespace(result: unknown, from: string, to: string): unknown {
  if (!isRecord(result) || !Array.isArray(result.interfaces)) return result;
  const interfaces = (result.interfaces as unknown[]).map((each) =>
    isRecord(each) && each.sandbox === from ? { ...each, sandbox: to } : each,
  );
  return { ...result, interfaces };
}
