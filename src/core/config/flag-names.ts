/** A command-line flag that overrides a key of the configuration. */
export interface ConfigFlag {
  /** Without dashes: `log-level`. */
  name: string;
  /** Name of the value in the help. */
  value: string;
  description: string;
  /** Table ("" for the top) and key it sets. */
  table: string;
  key: string;
  /** Values that a shell may complete. */
  suggestions?: readonly string[];
  /** Kind of the value, for completion. */
  kind?: 'file' | 'handler';
}

/**
 * The flags of `serve`. All values are strings, validated by the schema as in files. (Described here again so
 * that help and completion need not load the schema.)
 */
export const CONFIG_FLAGS: readonly ConfigFlag[] = [
  { name: 'root', value: 'PATH', description: 'directory of durable data', table: '', key: 'root', kind: 'file' },
  {
    name: 'state',
    value: 'PATH',
    description: 'directory of runtime state, on a tmpfs',
    table: '',
    key: 'state',
    kind: 'file',
  },
  { name: 'listen', value: 'URI', description: 'CRI socket, unix:///…', table: 'grpc', key: 'listen' },
  {
    name: 'log-level',
    value: 'LEVEL',
    description: 'debug, info, warn or error',
    table: 'log',
    key: 'level',
    suggestions: ['debug', 'info', 'warn', 'error'],
  },
  {
    name: 'log-format',
    value: 'FORMAT',
    description: 'auto, text or json',
    table: 'log',
    key: 'format',
    suggestions: ['auto', 'text', 'json'],
  },
  {
    name: 'metrics-listen',
    value: 'ADDRESS',
    description: 'ADDRESS:PORT of the Prometheus endpoint, "" for none',
    table: 'metrics',
    key: 'listen',
  },
  {
    name: 'default-handler',
    value: 'NAME',
    description: 'handler of pods without a RuntimeClass',
    table: 'runtime',
    key: 'default_handler',
    kind: 'handler',
  },
  { name: 'oci-runtime', value: 'PROGRAM', description: 'OCI runtime', table: 'runtime', key: 'oci_runtime' },
  {
    name: 'cni-config-dir',
    value: 'PATH',
    description: 'directory of CNI configurations',
    table: 'network',
    key: 'config_dir',
    kind: 'file',
  },
];

/** Values of flags by their names. */
export type FlagValues = Readonly<Record<string, string | undefined>>;
