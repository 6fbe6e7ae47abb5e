import { createHash } from 'node:crypto';

/** The values of one section of a guest's configuration file: text by key, and raw LXC keys in their order. */
export interface Section {
  description?: string;
  values: Record<string, string>;
  raw: [key: string, value: string][];
}

/** A guest's configuration file. */
export interface GuestConfig {
  current: Section;
  /** Changes that wait for the guest to stop; `delete` in its values names keys. */
  pending: Section;
  snapshots: Map<string, Section>;
  /** SHA-1 of the file, hexadecimal. */
  digest: string;
}

const environment = 'lxc.environment.runtime';

/** A section without anything. */
export function emptySection(): Section {
  return { values: {}, raw: [] };
}

/** A copy that shares nothing. */
export function copySection(section: Section): Section {
  return structuredClone(section);
}

function encodeLine(line: string): string {
  return Array.from(line)
    .map((character) => (/[\x20-\x24\x26-\x39\x3b-\x7e]/.test(character) ? character : encodeURIComponent(character)))
    .join('')
    .replace(/[\x00-\x1f]/g, (control) => `%${control.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

function readLine(section: Section, line: string, known: (key: string) => boolean): void {
  if (line.startsWith('#')) {
    section.description = `${section.description ?? ''}${decodeURIComponent(line.slice(1))}\n`;
    return;
  }
  const raw = /^(lxc\.[a-zA-Z0-9_.-]+)\s*[:=]\s*(.*?)\s*$/.exec(line);
  if (raw !== null) {
    const [, key = '', value = ''] = raw;
    if (key === environment && known('env')) {
      section.values['env'] = section.values['env'] === undefined ? value : `${section.values['env']}\0${value}`;
    } else section.raw.push([key, value]);
    return;
  }
  const [, key = '', value = ''] = /^([a-z][a-z_0-9-]*):\s*(.*?)\s*$/.exec(line) ?? [];
  // What the node does not know is dropped, and lost with the next write.
  if (key !== '' && value !== '' && known(key)) section.values[key] = value;
}

/** Reads a configuration file; lines whose key is not `known` are dropped, as the node drops them. */
export function parseConfig(text: string, known: (key: string) => boolean): GuestConfig {
  const config: GuestConfig = {
    current: emptySection(),
    pending: emptySection(),
    snapshots: new Map(),
    digest: createHash('sha1').update(text).digest('hex'),
  };
  let section = config.current;
  for (const line of text.split('\n')) {
    const header = /^\[([a-z][a-z0-9_-]+|pve:pending)\]\s*$/i.exec(line);
    if (header === null) {
      readLine(section, line, (key) => known(key) || ['parent', 'snaptime', 'delete', 'vmstate'].includes(key));
    } else if (header[1] === 'pve:pending') section = config.pending;
    else {
      section = emptySection();
      config.snapshots.set(header[1]!, section);
    }
  }
  return config;
}

function printSection(section: Section): string {
  const lines = (section.description ?? '')
    .split('\n')
    .slice(0, (section.description ?? '').endsWith('\n') ? -1 : undefined)
    .filter((_line, index, all) => all.length > 1 || all[index] !== '')
    .map((line) => `#${encodeLine(line)}`);
  for (const key of Object.keys(section.values).sort()) {
    if (key !== 'env') lines.push(`${key}: ${section.values[key]!}`);
  }
  for (const variable of section.values['env']?.split('\0') ?? []) lines.push(`${environment}: ${variable}`);
  lines.push(...section.raw.map(([key, value]) => `${key}: ${value}`));
  return lines.map((line) => `${line}\n`).join('');
}

function isEmpty(section: Section): boolean {
  return Object.keys(section.values).length === 0 && section.raw.length === 0;
}

/** Writes a configuration file. */
export function printConfig(config: Omit<GuestConfig, 'digest'>): string {
  const parts = [printSection(config.current)];
  if (!isEmpty(config.pending)) parts.push(`[pve:pending]\n${printSection(config.pending)}`);
  for (const name of [...config.snapshots.keys()].sort()) {
    parts.push(`[${name}]\n${printSection(config.snapshots.get(name)!)}`);
  }
  return parts.join('\n');
}
