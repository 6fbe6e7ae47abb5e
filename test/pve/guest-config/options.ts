import { parsePropertyString } from '../schema/check-value.ts';
import { verifyFormat } from '../schema/formats.ts';
import { PropertyStringError } from '../schema/property-string.ts';
import type { PropertyFormat } from '../schema/types.ts';
import type { ProxmoxRelease } from './model.ts';
import { DEVICE, FEATURES, mountPointFormat, networkFormat, rootfsFormat, UNUSED } from './property-formats.ts';

type OptionKind = 'boolean' | 'integer' | 'number' | 'string' | { format: string } | { properties: PropertyFormat };

const PLAIN: Record<string, OptionKind> = {
  arch: 'string',
  cmode: 'string',
  console: 'boolean',
  cores: 'integer',
  cpulimit: 'number',
  cpuunits: 'integer',
  debug: 'boolean',
  description: 'string',
  features: { properties: FEATURES },
  hookscript: { format: 'pve-volume-id' },
  hostname: { format: 'dns-name' },
  lock: 'string',
  memory: 'integer',
  nameserver: { format: 'lxc-ip-with-ll-iface-list' },
  onboot: 'boolean',
  ostype: 'string',
  parent: { format: 'pve-configid' },
  protection: 'boolean',
  searchdomain: { format: 'dns-name-list' },
  snaptime: 'integer',
  startup: { format: 'pve-startup-order' },
  swap: 'integer',
  tags: { format: 'pve-tag-list' },
  template: 'boolean',
  timezone: { format: 'pve-ct-timezone' },
  tty: 'integer',
  unprivileged: 'boolean',
};

/** How many of each numbered key there may be. */
const NUMBERED: Record<string, number> = { net: 32, mp: 256, unused: 256, dev: 256 };

/** What kind of value a key of the configuration has; undefined: the release does not know the key. */
function optionKind(key: string, release: ProxmoxRelease): OptionKind | undefined {
  if (release >= 9 && (key === 'entrypoint' || key === 'env')) return 'string';
  if (key === 'rootfs') return { properties: rootfsFormat(release) };
  const [, stem = '', number = ''] = /^([a-z]+)(0|[1-9]\d*)$/.exec(key) ?? [];
  if (Number(number) >= (NUMBERED[stem] ?? 0)) return PLAIN[key];
  if (stem === 'net') return { properties: networkFormat(release) };
  if (stem === 'mp') return { properties: mountPointFormat(release) };
  return { properties: stem === 'dev' ? DEVICE : UNUSED };
}

/** The value of a key, or what Proxmox has against it; only types and formats are looked at, no bounds and no enumeration. */
export function readOption(
  key: string,
  text: string,
  release: ProxmoxRelease,
): { value: string | number; problem?: string } {
  const kind = optionKind(key, release);
  const bad = (problem: string): { value: string; problem: string } => ({ value: text, problem });
  if (kind === undefined) return bad(`unknown setting '${key}'`);
  if (kind === 'boolean') {
    if (/^(1|on|yes|true)$/i.test(text)) return { value: 1 };
    if (/^(0|off|no|false)$/i.test(text)) return { value: 0 };
    return bad(`type check ('boolean') failed - got '${text}'`);
  }
  if (kind === 'integer')
    return /^\d+$/.test(text) ? { value: Number(text) } : bad(`type check ('integer') failed - got '${text}'`);
  if (kind === 'number')
    return /^\d+(\.\d+)?$/.test(text) ? { value: text } : bad(`type check ('number') failed - got '${text}'`);
  if (kind === 'string') return { value: text };
  if ('format' in kind) {
    const problem = verifyFormat(kind.format, text);
    return problem === undefined ? { value: text } : bad(problem);
  }
  try {
    parsePropertyString(kind.properties, text);
    return { value: text };
  } catch (error) {
    if (!(error instanceof PropertyStringError)) throw error;
    return bad(error.message);
  }
}
