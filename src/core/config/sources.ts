import { dirname, join } from 'node:path';
import { ConfigError } from './config-error.ts';
import { type ConfigFile, listDropIns, readConfigFile } from './read-file.ts';

/** The configuration file when none is named. */
export const DEFAULT_CONFIG_FILE = '/etc/proxmox-lxcri/config.toml';

/**
 * The main file, which must exist when it is named, then `conf.d/*.toml` beside it by name: in the order they apply.
 * @throws ConfigError for a file that cannot be read or is not TOML.
 */
export async function readSources(file: string | undefined): Promise<ConfigFile[]> {
  const path = file ?? DEFAULT_CONFIG_FILE;
  const main = await readConfigFile(path);
  if (main === undefined && file !== undefined) {
    throw new ConfigError([`${path}: does not exist; "proxmox-lxcri config default" prints one to start from`]);
  }
  const files = main === undefined ? [] : [main];
  for (const name of await listDropIns(join(dirname(path), 'conf.d'))) {
    const dropIn = await readConfigFile(name);
    if (dropIn === undefined) throw new ConfigError([`${name}: points to a file that does not exist; remove it`]);
    files.push(dropIn);
  }
  return files;
}
