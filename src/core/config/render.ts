import { type OutlineKey, configOutline } from './outline.ts';
import type { Config } from './schema.ts';
import { valueAt } from './tables.ts';
import { tomlValue } from './toml-value.ts';

const WIDTH = 100;

/**
 * The default configuration file: every key with its description and its default, commented out, so that a file based
 * on it follows the defaults of later versions. Only `version` is set, and `values` by the paths of keys (`proxmox.hosts`).
 */
export function defaultConfigToml(values: ReadonlyMap<string, unknown> = new Map()): string {
  const introduction = [
    '# Configuration of proxmox-lxcri. A key with a "#" before it has its default: remove the "#" to change it.',
    '# Files conf.d/*.toml beside this one are read after it, in the order of their names.',
  ].join('\n');
  return render(introduction, (key, table) => {
    if (key.name === 'version') return `version = ${tomlValue(key.default)}`;
    const path = table === '' ? key.name : `${table}.${key.name}`;
    if (values.has(path)) return `${key.name} = ${tomlValue(values.get(path))}`;
    return `#${key.name} = ${tomlValue(key.default)}${example(key)}`;
  });
}

/**
 * A configuration as a file that results in the same configuration, on any version that has its keys.
 * @param notes more comments by the paths of keys (`rootfs.store`).
 */
export function dumpConfigToml(config: Config, notes: ReadonlyMap<string, string> = new Map()): string {
  return render('# The effective configuration of proxmox-lxcri.', (key, table) => {
    const path = [...(table === '' ? [] : table.split('.')), key.name];
    return `${comment(notes.get(path.join('.')) ?? '')}${key.name} = ${tomlValue(valueAt(config, path))}`;
  });
}

function render(introduction: string, line: (key: OutlineKey, table: string) => string): string {
  const blocks = [introduction];
  for (const { name, description, keys } of configOutline()) {
    if (name !== '') blocks.push(`${comment(description)}[${name}]`);
    for (const key of keys) blocks.push(comment(explain(key)) + line(key, name));
  }
  return `${blocks.join('\n\n')}\n`;
}

function explain(key: OutlineKey): string {
  return key.type === 'string' ? key.description : `${key.description} (${key.type})`;
}

function example(key: OutlineKey): string {
  return key.example === undefined ? '' : `\n#${key.name} = ${tomlValue(key.example)}`;
}

function comment(text: string): string {
  const lines: string[] = [];
  let line = '#';
  for (const word of text.split(/\s+/).filter(Boolean)) {
    if (line.length + word.length + 1 > WIDTH) {
      lines.push(line);
      line = '#';
    }
    line += ` ${word}`;
  }
  return line === '#' ? '' : `${[...lines, line].join('\n')}\n`;
}
