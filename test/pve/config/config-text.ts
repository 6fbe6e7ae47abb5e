import { createHash } from 'node:crypto';
import { decodeComment, encodeComment } from '../guest-config/comment-text.ts';

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

/** A section without anything. */
export function emptySection(): Section {
  return { values: {}, raw: [] };
}

/** A copy that shares nothing. */
export function copySection(section: Section): Section {
  return structuredClone(section);
}

function readLine(section: Section, line: string, known: (key: string) => boolean): void {
  if (line.startsWith('#')) {
    section.description = `${section.description ?? ''}${decodeComment(line.slice(1))}\n`;
    return;
  }
  const [, key = '', value = ''] = /^([a-z][a-z_0-9-]*):\s*(.*?)\s*$/.exec(line) ?? [];
  // What the node does not know is dropped, and lost with the next write.
  if (key !== '' && value !== '' && known(key)) section.values[key] = value;
}

/** Reads a virtual machine's configuration file; lines whose key is not `known` are dropped, as the node drops them. */
export function parseMachine(text: string, known: (key: string) => boolean): GuestConfig {
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

function printSection({ description = '', values }: Section): string {
  const lines = description.split('\n');
  while (lines.at(-1) === '') lines.pop();
  const keys = Object.keys(values).sort();
  const written = [...lines.map((line) => `#${encodeComment(line)}`), ...keys.map((key) => `${key}: ${values[key]!}`)];
  return written.map((line) => `${line}\n`).join('');
}

function isEmpty(section: Section): boolean {
  return Object.keys(section.values).length === 0;
}

/** Writes a virtual machine's configuration file. */
export function printMachine(config: Omit<GuestConfig, 'digest'>): string {
  const parts = [printSection(config.current)];
  if (!isEmpty(config.pending)) parts.push(`[pve:pending]\n${printSection(config.pending)}`);
  for (const name of [...config.snapshots.keys()].sort()) {
    parts.push(`[${name}]\n${printSection(config.snapshots.get(name)!)}`);
  }
  return parts.join('\n');
}
