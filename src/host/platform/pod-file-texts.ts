import type { PodFileContents } from '../../core/model/pod-directories.ts';

/** A resolv.conf (resolv.conf(5)). */
export function resolvConf(dns: NonNullable<PodFileContents['dns']>): string {
  const lines = dns.servers.map((server) => `nameserver ${server}`);
  if (dns.searches.length > 0) lines.unshift(`search ${dns.searches.join(' ')}`);
  if (dns.options.length > 0) lines.push(`options ${dns.options.join(' ')}`);
  return lines.map((line) => `${line}\n`).join('');
}

/** A hosts file (hosts(5)) in which a pod finds itself by its name. */
export function hostsFile(name: string, ips: readonly string[]): string {
  const local = ['127.0.0.1\tlocalhost', '::1\tlocalhost ip6-localhost ip6-loopback'];
  return [...local, ...ips.map((ip) => `${ip}\t${name}`)].map((line) => `${line}\n`).join('');
}
