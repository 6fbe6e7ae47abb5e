import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno, messageOf, unavailable } from '../../core/model/errors.ts';

/** One plugin's part of a list, as it stands in the file. */
export interface CniPluginConfig {
  type: string;
  capabilities?: Record<string, boolean>;
  [key: string]: unknown;
}

/** A network configuration list (CNI specification, section 1). */
export interface CniConfigList {
  cniVersion: string;
  name: string;
  plugins: CniPluginConfig[];
}

/** Specification versions whose calls and results are the same here. */
const supportedVersions = new Set(['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0']);

/**
 * Reads a configuration list, or a single plugin's configuration, which becomes a list of one.
 * @throws Error that says what is wrong with it.
 */
export function parseCniConfig(text: string): CniConfigList {
  const document: unknown = JSON.parse(text);
  if (!isRecord(document)) throw new Error('is no JSON object');
  const { name } = document;
  if (typeof name !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name)) {
    throw new Error('"name" must start with a letter or digit, followed by letters, digits, "_", "." and "-"');
  }
  const cniVersion = document.cniVersion ?? '0.3.1';
  if (typeof cniVersion !== 'string' || !supportedVersions.has(cniVersion)) {
    throw new Error(`"cniVersion" ${JSON.stringify(cniVersion)} must be one of ${[...supportedVersions].join(', ')}`);
  }
  const plugins: unknown = 'plugins' in document ? document.plugins : [document];
  if (!Array.isArray(plugins) || plugins.length === 0)
    throw new Error('"plugins" must be a list of at least one plugin');
  return { cniVersion, name, plugins: plugins.map(checkPlugin) };
}

function checkPlugin(plugin: unknown): CniPluginConfig {
  if (!isRecord(plugin) || typeof plugin.type !== 'string' || !/^[A-Za-z0-9][\w.-]*$/.test(plugin.type)) {
    throw new Error('every plugin needs a "type", the file name of a program');
  }
  if (plugin.capabilities !== undefined && !isRecord(plugin.capabilities)) {
    throw new Error(`"capabilities" of plugin ${plugin.type} must be an object`);
  }
  return plugin as CniPluginConfig;
}

/** A JSON object, not null and no list. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Gives the first configuration of a folder by file name; reads it anew only after the folder or the file has changed. */
export class CniConfigFolder {
  readonly #folder: string;
  #last: { stamp: string; list: CniConfigList } | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * @throws CriError UNAVAILABLE when there is none, or when the first one is wrong: a later one is not taken instead,
   * for pods would land in a network that nobody meant.
   */
  async load(): Promise<CniConfigList> {
    const file = await this.#firstFile();
    try {
      const { mtimeNs, size, ino } = await stat(file, { bigint: true });
      const stamp = [file, mtimeNs, size, ino].join(' ');
      if (this.#last?.stamp !== stamp) this.#last = { stamp, list: parseCniConfig(await readFile(file, 'utf8')) };
      return this.#last.list;
    } catch (error) {
      throw unavailable(`CNI configuration ${file}: ${messageOf(error)}`, error);
    }
  }

  async #firstFile(): Promise<string> {
    const names = await readdir(this.#folder).catch((error: unknown) => {
      if (isErrno(error, 'ENOENT')) return [];
      throw unavailable(`cannot read the CNI configuration folder: ${messageOf(error)}`, error);
    });
    const [first] = names.filter((name) => /\.(conflist|conf|json)$/.test(name)).sort();
    if (first === undefined) {
      throw unavailable(
        `no CNI configuration in ${this.#folder}: install a network plugin that writes one (*.conflist) there`,
      );
    }
    return join(this.#folder, first);
  }
}
