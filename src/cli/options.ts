import { CONFIG_FLAGS, type FlagValues } from '../core/config/flag-names.ts';
import type { CommandOption, Input } from './command.ts';

/** `--config`, of every command that reads the configuration. */
export const CONFIG_OPTION: CommandOption = {
  name: 'config',
  value: 'FILE',
  description: 'configuration file (default /etc/proxmox-lxcri/config.toml)',
  kind: 'file',
};

/** The options of every client command that select the server. */
export const SERVER_OPTIONS: readonly CommandOption[] = [
  {
    name: 'address',
    value: 'URI',
    description:
      'socket of the server, unix:///… or a path (default: CONTAINER_RUNTIME_ENDPOINT, else grpc.listen of the configuration)',
    kind: 'file',
  },
  CONFIG_OPTION,
];

export const OUTPUT_OPTION: CommandOption = {
  name: 'output',
  short: 'o',
  value: 'FORMAT',
  description: 'output format (default table)',
  choices: ['table', 'json'],
};

/** Of commands that forward the keys of a terminal. */
export const DETACH_KEYS_OPTION: CommandOption = {
  name: 'detach-keys',
  value: 'KEYS',
  description: 'keys that detach from the container (default ctrl-p,ctrl-q; "" for none)',
};

/** Of commands that follow something. */
export const FORMAT_OPTION: CommandOption = {
  name: 'format',
  value: 'FORMAT',
  description: 'output format (default table)',
  choices: ['table', 'json'],
};

export const NO_TRUNC_OPTION: CommandOption = { name: 'no-trunc', description: 'print ids in full' };

export const NAMES_OPTION: CommandOption = { name: 'names', description: 'print names only' };

/** Of every command that lists objects. */
export const LIST_OPTIONS: readonly CommandOption[] = [
  OUTPUT_OPTION,
  { name: 'quiet', short: 'q', description: 'print ids only' },
  NO_TRUNC_OPTION,
  ...SERVER_OPTIONS,
];

/** The flags that override keys of the configuration. */
export const CONFIG_FLAG_OPTIONS: readonly CommandOption[] = CONFIG_FLAGS.map(
  ({ name, value, description, suggestions, kind }) => ({
    name,
    value,
    description,
    ...(suggestions !== undefined && { suggestions }),
    ...(kind !== undefined && { kind }),
  }),
);

/** Those of them that were given. */
export function configFlags(input: Input): FlagValues {
  return Object.fromEntries(CONFIG_FLAGS.map(({ name }) => [name, input.text(name)]));
}
