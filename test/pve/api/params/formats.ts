import { isIPv4, isIPv6 } from 'node:net';
import type { Format } from './property.ts';

/** A format that `pattern` decides; `words` gets the value. */
function matching(pattern: RegExp, words: (value: string) => string): Format {
  return (value) => (pattern.test(value) ? undefined : `${words(value)}\n`);
}

/** A list of what `format` checks, separated as the node separates. */
export function listOf(format: Format): Format {
  return (value, name, release) =>
    value
      .split(/[\s,;\0]+/)
      .filter((element) => element !== '')
      .map((element) => format(element, name, release))
      .find((error) => error !== undefined);
}

/** The elements of a list parameter. */
export function elements(value: string | number | undefined): string[] {
  return String(value ?? '')
    .split(/[\s,;\0]+/)
    .filter((element) => element !== '');
}

// Formats by the names of the API's schema, with the words of the node.

export const vmid = matching(/^[1-9][0-9]{2,8}$/, () => 'value does not look like a valid VM ID');
export const nodeName = matching(
  /^[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?$/,
  () => 'value does not look like a valid node name',
);
export const configId = matching(/^[a-z][a-z0-9_-]+$/i, (value) => `invalid configuration ID '${value}'`);
export const dnsName = matching(
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*$/,
  () => 'value does not look like a valid DNS name',
);
export const tag = matching(/^[a-z0-9_][a-z0-9_\-+.]*$/i, () => 'invalid characters in tag');
export const poolId = matching(
  /^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+){0,2}$/,
  (value) => `pool name '${value}' contains invalid characters`,
);
export const storageId = matching(
  /^[a-z][a-z0-9\-_.]*[a-z0-9]$/i,
  (value) => `storage ID '${value}' contains illegal characters`,
);
export const userId = matching(
  /^[^\s:/]+@[A-Za-z][A-Za-z0-9._-]+$/,
  (value) => `value '${value}' does not look like a valid user name`,
);
export const roleId = matching(/^[A-Za-z0-9._-]+$/, (value) => `role name '${value}' contains invalid characters`);
export const volumeId = matching(/^[a-z][a-z0-9\-_.]*[a-z0-9]:.+$/i, (value) => `unable to parse volume ID '${value}'`);
export const contentType = matching(
  /^(?:images|rootdir|vztmpl|iso|backup|snippets|import|none)$/,
  (value) => `invalid content type '${value}'`,
);
export const taskStatus = matching(/^(?:ok|error|warning|unknown)$/i, (value) => `invalid status '${value}'`);
export const ipv4 = ((value) =>
  isIPv4(value) ? undefined : 'value does not look like a valid IPv4 address\n') satisfies Format;
export const ipv6 = ((value) =>
  isIPv6(value) ? undefined : 'value does not look like a valid IPv6 address\n') satisfies Format;

/** A CIDR, or one of the words that configure an address without one. */
export function addressConfig(family: 4 | 6): Format {
  const words = family === 4 ? ['dhcp', 'manual'] : ['auto', 'dhcp', 'manual'];
  const valid = family === 4 ? isIPv4 : isIPv6;
  return (value) => {
    const [address = '', bits = ''] = value.split('/');
    const fits = valid(address) && /^\d+$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
    return words.includes(value) || fits
      ? undefined
      : `value does not look like a valid ipv${family} network configuration\n`;
  };
}

export const macAddress = matching(
  /^[a-f0-9][02468ace](?::[a-f0-9]{2}){5}$/i,
  () => 'value does not look like a valid unicast MAC address',
);
export const diskSize = matching(
  /^\d+(?:\.\d+)?[KMGT]?$/,
  (value) => `value does not look like a valid disk size: ${value}`,
);
export const storagePath = matching(/^\/[^;()]+$/, () => 'value does not look like a valid absolute path');

/** The size of blocks of ZFS, which release 8 takes as it is. */
export const zfsBlocksize: Format = (value, _name, release) => {
  if (release === '8.4' || value === '') return undefined;
  const [, number, unit = ''] = /^([1-9]\d*)([km]?)$/i.exec(value) ?? [];
  if (number === undefined)
    return `invalid ZFS blocksize format '${value}'. Use a positive number (no leading zeros) with an optional 'k' or 'm' suffix.\n`;
  const bytes = Number(number) * 1024 ** ['', 'k', 'm'].indexOf(unit.toLowerCase());
  if (bytes >= 512 && bytes <= 16 * 1024 ** 2 && Number.isInteger(Math.log2(bytes))) return undefined;
  return `value '${value}' is not a valid ZFS blocksize. Must be a power of 2 between 512B and 16MiB (e.g., 4k, 8k, 16k, 64k, 1m).\n`;
};
