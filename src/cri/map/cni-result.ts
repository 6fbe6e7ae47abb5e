import type { NetworkAttachment } from '../../core/model/network.ts';

/** A network of a pod as containerd's users read it in `info.cniResult` of a verbose PodSandboxStatus. */
interface CniResult {
  /** By name: those in the pod and, with an empty `Sandbox`, their ends on the node. */
  Interfaces: Record<string, { IPConfigs: { IP: string; Gateway: string }[]; Mac: string; Sandbox: string }>;
  DNS: unknown[];
  Routes: unknown[];
}

/**
 * The results of ADD of a pod's networks (CNI specification, section 5) as one; those that are not known yet have no part in it,
 * nor what a plugin answered in another shape.
 */
export function toCniResult(networks: NetworkAttachment['networks']): CniResult {
  const all: CniResult = { Interfaces: {}, DNS: [], Routes: [] };
  for (const { result } of networks) {
    const [{ interfaces, ips, routes, dns } = {}] = records(result === '' ? [] : [JSON.parse(result)]);
    for (const [index, { name, mac, sandbox }] of records(interfaces).entries()) {
      const own = records(ips).filter((ip) => ip['interface'] === index);
      const IPConfigs = own.map(({ address, gateway }) => ({
        IP: text(address).replace(/\/.*$/, ''),
        Gateway: text(gateway),
      }));
      all.Interfaces[text(name)] = { IPConfigs, Mac: text(mac), Sandbox: text(sandbox) };
    }
    all.Routes.push(...records(routes));
    if (dns !== undefined) all.DNS.push(dns);
  }
  return all;
}

function records(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value)
    ? value.filter((item): item is Record<string, unknown> => typeof item === 'object' && item !== null)
    : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
