import { BlockList, isIP } from 'node:net';

/** Hosts on this machine are never behind a proxy. */
const ALWAYS = ['localhost', '127.0.0.0/8', '::1'];

/**
 * Whether `NO_PROXY` (or what stands in its place) sends requests for a host past the proxy, as Go's programs read it: `*`,
 * `example.com` with everything below it, `.example.com` or `*.example.com` for what is below it alone, addresses, networks
 * in CIDR notation; each but a network may name a port. Names are not resolved to compare them with networks.
 */
export function bypassesProxy(url: URL, noProxy: string | undefined): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  const entries = [...(noProxy ?? '').split(/[,\s]+/), ...ALWAYS].filter((entry) => entry !== '');
  return entries.some((entry) => matches(entry.toLowerCase(), host, port));
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  if (entry.includes('/')) return isInNetwork(entry, host);
  const [, name = entry, ofPort] = isIP(entry) > 0 ? [] : (/^(.*?)(?::(\d+))?$/.exec(entry) ?? []);
  if (ofPort !== undefined && ofPort !== port) return false;
  const wanted = name.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  if (isIP(wanted) > 0) return isInNetwork(wanted, host);
  const below = wanted.replace(/^\*?\./, '');
  return (below === wanted && host === wanted) || (below !== '' && host.endsWith(`.${below}`));
}

/** Whether a host written as an address is in a network, or is the one address that stands for it. */
function isInNetwork(network: string, host: string): boolean {
  const [address = '', prefix] = network.split('/');
  const family = isIP(address);
  if (family === 0 || isIP(host) === 0) return false;
  const type = family === 4 ? 'ipv4' : 'ipv6';
  const bits = prefix === undefined ? (family === 4 ? 32 : 128) : Number(prefix);
  if (!Number.isInteger(bits) || bits < 0 || bits > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(address, bits, type);
  return list.check(host, isIP(host) === 4 ? 'ipv4' : 'ipv6');
}
