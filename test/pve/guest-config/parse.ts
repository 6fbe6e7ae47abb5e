import { createHash } from 'node:crypto';
import { decodeComment } from './comment-text.ts';
import { emptySection, type GuestConfig, type GuestSection, type ProxmoxRelease } from './model.ts';
import { readOption } from './options.ts';
import { judgeRawKey } from './raw-keys.ts';

/** A configuration and what Proxmox warned of while it read it; lines with a warning that are not kept are lost. */
export interface ParsedGuest {
  config: GuestConfig;
  warnings: string[];
}

/**
 * Reads the text of `/etc/pve/lxc/VMID.conf` as the release does: a bad value is warned of and kept, a line that is none
 * is warned of and dropped, a key that comes twice has its last value.
 */
export function parseGuestConfig(text: string, vmid: number, release: ProxmoxRelease): ParsedGuest {
  const config: GuestConfig = {
    ...emptySection(),
    digest: createHash('sha1').update(text).digest('hex'),
    pending: emptySection(),
    snapshots: {},
  };
  const warnings: string[] = [];
  let section: GuestSection = config;
  let comment = '';
  const endSection = (): void => {
    if (comment !== '') section.description = comment;
    comment = '';
  };
  for (const line of text.split('\n')) {
    const [, name] = /^\[([a-z][a-z0-9_-]+|pve:pending)\]\s*$/i.exec(line) ?? [];
    const [, remark] = /^#(.*)$/s.exec(line) ?? [];
    const [, oldStyle] = /^description:\s*(.*\S)\s*$/s.exec(line) ?? [];
    if (/^\s*$/.test(line)) continue;
    if (name !== undefined) {
      endSection();
      section = emptySection();
      if (name.toLowerCase() === 'pve:pending') config.pending = section;
      else config.snapshots[name] = section;
    } else if (remark !== undefined) {
      comment += `${decodeComment(remark)}\n`;
    } else if (oldStyle !== undefined) {
      comment += decodeComment(oldStyle);
    } else {
      const problem = readLine(line, section, section === config.pending, release);
      if (problem !== undefined) warnings.push(`vm ${vmid} - ${problem}`);
    }
  }
  endSection();
  delete config.snapstate;
  return { config, warnings };
}

/** Takes one line into the section; the answer is what Proxmox warns of. */
function readLine(line: string, section: GuestSection, pending: boolean, release: ProxmoxRelease): string | undefined {
  const [, rawKey, raw = ''] = /^(lxc\.[a-z0-9_\-.]+)(?::|\s*=)\s*(.*?)\s*$/s.exec(line) ?? [];
  if (rawKey !== undefined) return readRawLine(line, rawKey, raw, section, release);
  const [, snapstate] = /snapstate:\s*(prepare|delete)\s*$/.exec(line) ?? [];
  if (snapstate === 'prepare' || snapstate === 'delete') {
    section.snapstate = snapstate;
    return undefined;
  }
  const [, remove] = /^delete:\s*(.*\S)\s*$/s.exec(line) ?? [];
  if (remove !== undefined) {
    if (!pending) return "property 'delete' is only allowed in [pve:pending]";
    section.delete = remove;
    return undefined;
  }
  const [, key, text] = /^([a-z][a-z_]*\d*):\s*(.+?)\s*$/s.exec(line) ?? [];
  if (key === undefined || text === undefined) return `unable to parse config: ${line}`;
  const { value, problem } = readOption(key, text, release);
  section.options[key] = value;
  return problem === undefined ? undefined : `unable to parse value of '${key}' - ${problem}`;
}

/** Since 9 the environment of the container's program is one option, kept as raw lines in the file. */
function readRawLine(
  line: string,
  key: string,
  value: string,
  section: GuestSection,
  release: ProxmoxRelease,
): string | undefined {
  const { accepted, warning } = judgeRawKey(key, release);
  if (key === 'lxc.environment.runtime' && accepted) {
    const before = section.options['env'];
    section.options['env'] = before === undefined ? value : `${before}\0${value}`;
  } else if (accepted) {
    section.lxc.push([key, value]);
  } else {
    return warning ?? `unable to parse config: ${line}`;
  }
  return warning;
}
