import { isIP, isIPv4, isIPv6 } from 'node:net';

/** Says what is wrong with a value, in Proxmox's words without the line's end, or nothing. */
type Verify = (value: string) => string | undefined;

const DNS_LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?';

/** A format that is a regular expression and one sentence. */
function matching(pattern: RegExp, problem: string | ((value: string) => string)): Verify {
  return (value) => {
    if (pattern.test(value)) return undefined;
    return typeof problem === 'string' ? problem : problem(value);
  };
}

/** A prefix length is 8 to 32 or 128: the API refuses networks that are wider. */
function isCidr(value: string, family: 4 | 6): boolean {
  const [, address = '', bits = ''] = /^(.*)\/(\d+)$/.exec(value) ?? [];
  const isAddress = family === 4 ? isIPv4(address) : isIPv6(address);
  return isAddress && Number(bits) > 7 && Number(bits) <= (family === 4 ? 32 : 128);
}

function check(good: (value: string) => boolean, problem: string): Verify {
  return (value) => (good(value) ? undefined : problem);
}

function identifier(kind: string): Verify {
  return (value) => {
    if (value.length < 2) return `${kind} ID '${value}' cannot be shorter than 2 characters`;
    return /^[a-z][a-z0-9\-_.]*[a-z0-9]$/i.test(value)
      ? undefined
      : `${kind} ID '${value}' contains illegal characters`;
  };
}

/** Order, up and down of a start; an empty value or one of commas alone is no order at all. */
function isStartupOrder(value: string): boolean {
  return (
    value !== '' &&
    value !== '0' &&
    value.split(',').every((part) => /^\s*$/.test(part) || /^((order=)?|up=|down=)\d+$/.test(part))
  );
}

const verifyMountPath: Verify = (value) =>
  /\/\.\.?\/|\/\.\.?$|^\.\.\//.test(value) ? `${value} contains illegal character sequences` : undefined;

const FORMATS: Record<string, Verify> = {
  string: () => undefined,
  urlencoded: matching(/^[-%a-zA-Z0-9_.!~*'()]*$/, (value) => `invalid urlencoded string: ${value}`),
  'pve-configid': matching(/^[a-z][a-z0-9_-]+$/i, (value) => `invalid configuration ID '${value}'`),
  'pve-storage-id': identifier('storage'),
  'pve-bridge-id': matching(/^[-_.\w]+$/, (value) => `invalid bridge ID '${value}'`),
  'pve-vmid': matching(/^[1-9][0-9]{2,8}$/, 'value does not look like a valid VM ID'),
  'pve-node': matching(new RegExp(`^${DNS_LABEL}$`), 'value does not look like a valid node name'),
  'pve-iface': matching(/^[a-z][a-z0-9_]{1,20}([:.]\d+)?$/i, (value) => `invalid network interface name '${value}'`),
  'pve-tag': matching(/^[a-z0-9_][a-z0-9_\-+.]*$/i, 'invalid characters in tag'),
  'pve-volume-id': matching(/^[a-z][a-z0-9\-_.]*[a-z0-9]:.+$/i, (value) => `unable to parse volume ID '${value}'`),
  'pve-poolid': matching(
    /^[A-Za-z0-9.\-_]+(?:\/[A-Za-z0-9.\-_]+){0,2}$/,
    (value) => `pool name '${value}' contains invalid characters`,
  ),
  'pve-userid': matching(
    /^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+$/,
    (value) => `value '${value}' does not look like a valid user name`,
  ),
  'pve-roleid': matching(/^[A-Za-z0-9.\-_]+$/, (value) => `role name '${value}' contains invalid characters`),
  'pve-storage-content': matching(
    /^(images|rootdir|vztmpl|iso|backup|snippets|import|none)$/,
    (value) => `invalid content type '${value}'`,
  ),
  'pve-task-status-type': matching(/^(ok|error|warning|unknown)$/i, (value) => `invalid status '${value}'`),
  'pve-startup-order': check(isStartupOrder, 'unable to parse startup options'),
  'pve-lxc-mp-string': verifyMountPath,
  'pve-lxc-dev-string': (value) =>
    /\/\.\.?(\/|$)/.test(value) || !value.startsWith('/dev/') ? `${value} is not a valid device path` : undefined,
  'lxc-ip-with-ll-iface': check((value) => {
    const [, address, iface] = /^(fe80:[^%]+)%(.*)$/.exec(value) ?? [];
    if (address !== undefined && iface !== undefined) return isIPv6(address) && /^[a-z][a-z0-9_]{1,20}$/i.test(iface);
    return isIP(value) !== 0;
  }, 'value does not look like a valid IP address'),
  'mac-addr': matching(
    /^[a-f0-9][02468ace](?::[a-f0-9]{2}){5}$/i,
    'value does not look like a valid unicast MAC address',
  ),
  ipv4: check(isIPv4, 'value does not look like a valid IPv4 address'),
  ipv6: check(isIPv6, 'value does not look like a valid IPv6 address'),
  ip: check((value) => isIP(value) !== 0, 'value does not look like a valid IP address'),
  CIDRv4: check((value) => isCidr(value, 4), 'value does not look like a valid IPv4 CIDR network'),
  CIDRv6: check((value) => isCidr(value, 6), 'value does not look like a valid IPv6 CIDR network'),
  CIDR: check((value) => isCidr(value, 4) || isCidr(value, 6), 'value does not look like a valid CIDR network'),
  'pve-ipv4-config': check(
    (value) => /^(dhcp|manual)$/.test(value) || isCidr(value, 4),
    'value does not look like a valid ipv4 network configuration',
  ),
  'pve-ipv6-config': check(
    (value) => /^(auto|dhcp|manual)$/.test(value) || isCidr(value, 6),
    'value does not look like a valid ipv6 network configuration',
  ),
  'dns-name': matching(new RegExp(`^(?:${DNS_LABEL}\\.)*${DNS_LABEL}$`), 'value does not look like a valid DNS name'),
  'disk-size': (value) =>
    /^\d+(\.\d+)?([KMGT](iB)?)?$/.test(value) ? undefined : `value does not look like a valid disk size: ${value}`,
};

/** A list's entries: split at NUL where there is one, else at commas, semicolons and blanks. */
export function splitList(text: string): string[] {
  if (text.includes('\0')) return text.split('\0');
  return text.split(/[,;\s]+/).filter((entry) => entry !== '');
}

/** What Proxmox says of a value of a named format (with `-list` and `-opt`), or nothing; one that is not known here accepts all. */
export function verifyFormat(name: string, value: string): string | undefined {
  const verify = FORMATS[name];
  if (verify !== undefined) return verify(value);
  const [, base = '', kind] = /^(.*)-(list|opt)$/.exec(name) ?? [];
  const entry = FORMATS[base];
  if (entry === undefined) return undefined;
  if (kind === 'opt') return value === '' ? undefined : entry(value);
  return splitList(value)
    .map((part) => entry(part))
    .find((problem) => problem !== undefined);
}
