import { parsePropertyString } from '../schema/check-value.ts';
import { verifyFormat } from '../schema/formats.ts';
import { PropertyStringError } from '../schema/property-string.ts';
import type { PropertyFormat } from '../schema/types.ts';
import { encodeComment } from './comment-text.ts';
import type { GuestConfig, GuestSection, ProxmoxRelease } from './model.ts';
import { mountPointFormat, rootfsFormat } from './property-formats.ts';

/**
 * The text that the release writes for a configuration: comments first, keys sorted by name, raw keys in their order, then
 * the pending changes and the snapshots by name. Unused volumes that a mount point uses are left out.
 * @throws {Error} a value with a line feed
 */
export function writeGuestConfig(config: GuestConfig, release: ProxmoxRelease): string {
  const used = usedVolumes(config, release);
  const options = Object.fromEntries(
    Object.entries(config.options).filter(([key, value]) => !key.startsWith('unused') || !used.has(String(value))),
  );
  const { description, lxc } = config;
  let text = sectionText({ options, lxc, ...(description !== undefined && { description }) }, release);
  const { pending } = config;
  if (Object.keys(pending.options).length > 0 || pending.lxc.length > 0 || pending.delete !== undefined)
    text += `\n[pve:pending]\n${sectionText(pending, release)}`;
  for (const name of Object.keys(config.snapshots).sort(byCode))
    text += `\n[${name}]\n${sectionText(config.snapshots[name]!, release)}`;
  return text;
}

/** As Perl sorts: by code, not by language. */
function byCode(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

function sectionText(section: GuestSection, release: ProxmoxRelease): string {
  const lines = (section.description ?? '').split('\n');
  while (lines.at(-1) === '') lines.pop();
  const comments = lines.map((line) => `#${encodeComment(line)}`);
  const values: Record<string, string | number> = { ...section.options };
  const env = values['env'];
  if (release >= 9) delete values['env'];
  if (section.delete !== undefined) values['delete'] = section.delete;
  if (section.snapstate !== undefined) values['snapstate'] = section.snapstate;
  const options = Object.keys(values)
    .sort(byCode)
    .map((key) => {
      const value = String(values[key]);
      if (value.includes('\n')) throw new Error(`detected invalid newline inside property '${key}'`);
      return `${key}: ${value}`;
    });
  const environment = release >= 9 && env !== undefined ? String(env).split(/\0+/) : [];
  return [
    ...comments,
    ...options,
    ...environment.map((variable) => `lxc.environment.runtime: ${variable}`),
    ...section.lxc.map(([key, value]) => `${key}: ${value}`),
  ]
    .map((line) => `${line}\n`)
    .join('');
}

function usedVolumes(config: GuestConfig, release: ProxmoxRelease): Set<string> {
  const used = new Set<string>();
  for (const [key, value] of Object.entries(config.options)) {
    if (key !== 'rootfs' && !/^mp\d+$/.test(key)) continue;
    const volume = volumeOf(key === 'rootfs' ? rootfsFormat(release) : mountPointFormat(release), String(value));
    if (volume !== undefined && verifyFormat('pve-volume-id', volume) === undefined) used.add(volume);
  }
  return used;
}

function volumeOf(format: PropertyFormat, text: string): string | undefined {
  try {
    return parsePropertyString(format, text)['volume'];
  } catch (error) {
    if (error instanceof PropertyStringError) return undefined;
    throw error;
  }
}
