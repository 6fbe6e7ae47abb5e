import { isIPv6 } from 'node:net';
import { unavailable, unimplemented } from '../../../core/model/errors.ts';
import type { PortMapping } from '../../../core/model/network.ts';
import { which } from '../../../host/processes/programs.ts';
import { run } from '../../../host/processes/run.ts';
import { messageOf } from '../../../utils/errors.ts';

const LIMIT_MS = 60_000;
/** Seconds to wait for another program that changes the rules. */
const LOCK = ['--wait', '30'];
const CHAINS = ['PREROUTING', 'OUTPUT', 'POSTROUTING'];
const EVERY = new Set(['', '0.0.0.0', '::']);
const LOOPBACK = /^(?:127\.|::1$|::ffff:127\.)/i;

/** The comment of the rules for an address of a pod, by which they are found again: the address is the pod's alone. */
const markOf = (ip: string): string => `proxmox-lxcri:${ip}`;

/**
 * Checks mappings before anything of the pod is made.
 * @throws CriError UNIMPLEMENTED for an address of the loopback: the kernel drops the replies, unless every machine of the bridge
 *   may reach the loopback of the node.
 */
export function checkHostPorts(mappings: readonly PortMapping[]): void {
  const loopback = mappings.find(({ hostIp }) => LOOPBACK.test(hostIp));
  if (loopback === undefined) return;
  throw unimplemented(
    `config.port_mappings: host port ${String(loopback.hostPort)} of ${loopback.hostIp} for a pod whose network Proxmox VE ` +
      'manages; leave host_ip out, or use a RuntimeClass with CNI',
  );
}

/**
 * The rules that lead ports of this node to an address of a pod, for the table nat (iptables(8)). The source becomes the node's:
 * the pod's gateway may be another machine, and the replies have to pass this one.
 */
export function hostPortRules(ip: string, mappings: readonly PortMapping[]): string[] {
  const isSix = isIPv6(ip);
  const comment = `-m comment --comment ${markOf(ip)}`;
  const [target, loopback] = isSix ? [`[${ip}]`, '::1/128'] : [ip, '127.0.0.0/8'];
  return mappings
    .filter(({ hostIp }) => hostIp === '' || isIPv6(hostIp) === isSix)
    .flatMap(({ hostIp, hostPort, containerPort, protocol }) => {
      const at = `-p ${protocol} --dport ${String(hostPort)}`;
      const to = `${at} ${comment} -j DNAT --to-destination ${target}:${String(containerPort)}`;
      const toNode = EVERY.has(hostIp) ? '-m addrtype --dst-type LOCAL' : `-d ${hostIp}`;
      const fromNode = EVERY.has(hostIp) ? `! -d ${loopback} ${toNode}` : toNode;
      const wasMapped = `-m conntrack --ctstate DNAT --ctorigdstport ${String(hostPort)}`;
      return [
        `-A PREROUTING ${toNode} ${to}`,
        `-A OUTPUT ${fromNode} ${to}`,
        `-A POSTROUTING -d ${ip} -p ${protocol} --dport ${String(containerPort)} ${wasMapped} ${comment} -j MASQUERADE`,
      ];
    });
}

/** Leads ports of this node to the addresses of a pod, and no others. It may be repeated. @throws CriError UNAVAILABLE; the signal's reason. */
export async function openHostPorts(
  ips: readonly string[],
  mappings: readonly PortMapping[],
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    for (const ip of ips) await replace(ip, hostPortRules(ip, mappings), signal);
  } catch (error) {
    signal?.throwIfAborted();
    throw unavailable(`cannot map the host ports of the pod: ${messageOf(error)}`, error);
  }
}

/** Removes all rules for the addresses of a pod; no error when there are none. @throws CriError UNAVAILABLE. */
export async function closeHostPorts(ips: readonly string[]): Promise<void> {
  // Without the program none were made.
  if ((await which('iptables')) === undefined) return;
  try {
    for (const ip of ips) await replace(ip, [], undefined);
  } catch (error) {
    throw unavailable(`cannot remove the host ports of the pod: ${messageOf(error)}`, error);
  }
}

/** Whether the rules for an address of a pod are all there. */
export async function hasHostPorts(ip: string, mappings: readonly PortMapping[]): Promise<boolean> {
  return (await rulesOf(ip, undefined)).length === hostPortRules(ip, mappings).length;
}

/** Removes the rules of an address and adds others, in one step. */
async function replace(ip: string, rules: readonly string[], signal: AbortSignal | undefined): Promise<void> {
  const old = await rulesOf(ip, signal);
  if (old.length === 0 && rules.length === 0) return;
  const changes = ['*nat', ...old.map((rule) => rule.replace(/^-A/, '-D')), ...rules, 'COMMIT', ''];
  const options = { input: changes.join('\n'), timeoutMs: LIMIT_MS, signal };
  await run(`${programOf(ip)}-restore`, ['--noflush', ...LOCK], options);
}

async function rulesOf(ip: string, signal: AbortSignal | undefined): Promise<string[]> {
  const options = { timeoutMs: LIMIT_MS, holds: 'nothing' as const, signal };
  const found: string[] = [];
  // Chain by chain: the whole table is large where Services are many.
  for (const chain of CHAINS) {
    const { stdout } = await run(programOf(ip), [...LOCK, '-t', 'nat', '-S', chain], options);
    found.push(...stdout.split('\n').filter((line) => line.split(/[ "]/).includes(markOf(ip))));
  }
  return found;
}

function programOf(ip: string): string {
  return isIPv6(ip) ? 'ip6tables' : 'iptables';
}
