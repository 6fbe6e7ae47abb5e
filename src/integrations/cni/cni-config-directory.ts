import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { unavailable } from '../../core/model/errors.ts';
import { inspectPath, readText } from '../../host/paths.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import { parseCniConfig, parseCniPlugin } from './cni-config.ts';
import type { CniConfigList } from './cni-config.ts';

/** A directory of network configurations, read at each call, since network add-ons may change it at any time. */
export class CniConfigDirectory {
  readonly #directory: string;
  readonly #most: number;

  /** @param most maximum number of configurations, the first ones by file name; 0 for all. */
  constructor(directory: string, most: number) {
    this.#directory = directory;
    this.#most = most;
  }

  /**
   * The configurations in use, at least one, with unique names.
   * @throws CriError UNAVAILABLE when there is none, or when one is invalid: a later one is not used instead, since
   * pods would join an unintended network.
   */
  async load(): Promise<CniConfigList[]> {
    const names = await filesIn(this.#directory, /\.(conflist|conf|json)$/);
    if (names.length === 0) {
      throw unavailable(
        `no CNI configuration in ${this.#directory}; install a network add-on that writes one (*.conflist)`,
      );
    }
    const lists: CniConfigList[] = [];
    for (const name of this.#most === 0 ? names : names.slice(0, this.#most)) {
      const file = join(this.#directory, name);
      try {
        const list = await this.#complete(parseCniConfig(await readText(file, FILE_LIMIT_BYTES)));
        if (lists.some((other) => other.name === list.name)) {
          throw new Error(`the network name ${JSON.stringify(list.name)} is used by another file; change "name"`);
        }
        lists.push(list);
      } catch (error) {
        throw unavailable(`CNI configuration ${file}: ${messageOf(error)}`, error);
      }
    }
    return lists;
  }

  /** Adds the plugins in the directory named after the network, by file name (CNI specification 1.1, loadOnlyInlinedPlugins). */
  async #complete(list: CniConfigList): Promise<CniConfigList> {
    const plugins = [...list.plugins];
    if (!list.loadOnlyInlinedPlugins) {
      const directory = join(this.#directory, list.name);
      for (const name of await filesIn(directory, /\.conf$/)) {
        const text = await readText(join(directory, name), FILE_LIMIT_BYTES);
        try {
          plugins.push(parseCniPlugin(text));
        } catch (error) {
          throw new Error(`plugin ${join(directory, name)}: ${messageOf(error)}`, { cause: error });
        }
      }
    }
    if (plugins.length === 0) throw new Error('"plugins" must be a list of at least one plugin');
    // With all of them, the list is also complete when it is read from a pod's record.
    return { ...list, loadOnlyInlinedPlugins: true, plugins };
  }
}

/** Bytes of a configuration file; real ones have a few thousand. */
export const FILE_LIMIT_BYTES = 1024 * 1024;

/** The directory may be on a stalled filesystem: none of the few file threads waits for it. */
async function filesIn(directory: string, pattern: RegExp): Promise<string[]> {
  const names = await inspectPath(directory)
    .then(({ path }) => readdir(path))
    .catch((error: unknown) => {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
      throw unavailable(`cannot read the CNI configuration directory: ${messageOf(error)}`, error);
    });
  return names.filter((name) => pattern.test(name)).sort();
}
