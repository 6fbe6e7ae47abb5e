import { configOutline } from './outline.ts';
import type { Table } from './tables.ts';

/** A command-line flag that overrides a key of the configuration. */
export interface ConfigFlag {
  /** Without dashes: `log-level`. */
  name: string;
  /** What the help calls its value. */
  value: string;
  /** Table ("" for the top) and key it sets. */
  table: string;
  key: string;
}

/** The flags of `serve`. All set texts; what they may be is checked by the schema as in files. */
export const CONFIG_FLAGS: readonly ConfigFlag[] = [
  { name: 'root', value: 'PATH', table: '', key: 'root' },
  { name: 'state', value: 'PATH', table: '', key: 'state' },
  { name: 'listen', value: 'URI', table: 'grpc', key: 'listen' },
  { name: 'log-level', value: 'LEVEL', table: 'log', key: 'level' },
  { name: 'log-format', value: 'FORMAT', table: 'log', key: 'format' },
  { name: 'metrics-listen', value: 'ADDRESS', table: 'metrics', key: 'listen' },
  { name: 'default-handler', value: 'NAME', table: 'runtime', key: 'default_handler' },
  { name: 'oci-runtime', value: 'PROGRAM', table: 'runtime', key: 'oci_runtime' },
  { name: 'cni-config-dir', value: 'PATH', table: 'network', key: 'config_dir' },
];

/** Values of flags by their names. */
export type FlagValues = Readonly<Record<string, string | undefined>>;

/** The table that a flag's value makes, to be laid over the files'. */
export function flagTable(flag: ConfigFlag, value: string): Table {
  return flag.table === '' ? { [flag.key]: value } : { [flag.table]: { [flag.key]: value } };
}

/** What the schema says about the flag's key. */
export function describeFlag(flag: ConfigFlag): string {
  const table = configOutline().find(({ name }) => name === flag.table);
  return table?.keys.find(({ name }) => name === flag.key)?.description ?? '';
}
