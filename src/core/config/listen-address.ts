import { readSources } from './sources.ts';
import { mergeTables, valueAt } from './tables.ts';

/** Where the server listens unless the configuration says otherwise. */
export const DEFAULT_LISTEN = 'unix:///run/proxmox-lxcri/proxmox-lxcri.sock';

/**
 * `grpc.listen` of the configuration, for clients: nothing else is validated, since loading the schema takes half of a
 * short command's time. @throws ConfigError for a file that cannot be read or is not TOML.
 */
export async function configuredListen(file: string | undefined): Promise<string> {
  const merged = (await readSources(file)).reduce((table, source) => mergeTables(table, source.table), {});
  const listen = valueAt(merged, ['grpc', 'listen']);
  return typeof listen === 'string' ? listen : DEFAULT_LISTEN;
}
