import type { Command } from './command.ts';
import { CONFIG_OPTION, SERVER_OPTIONS } from './options.ts';

const NAMES = [...new Set([...SERVER_OPTIONS, CONFIG_OPTION].map(({ name }) => `--${name}`))];

/**
 * Moves `--address` and `--config` from before a command to after it, where the command parses them.
 */
export function afterCommand(argv: readonly string[], commands: readonly Command[]): string[] {
  const given: string[] = [];
  let rest = [...argv];
  for (;;) {
    const [first = '', value] = rest;
    const name = first.split('=', 1)[0] ?? '';
    if (!NAMES.includes(name) || (name === first && value === undefined)) break;
    given.push(...rest.slice(0, name === first ? 2 : 1));
    rest = rest.slice(name === first ? 2 : 1);
  }
  const depth = commandLength(rest, commands);
  return [...rest.slice(0, depth), ...given, ...rest.slice(depth)];
}

/** The number of words in the command's name: two for `config dump`. */
function commandLength([first, ...rest]: readonly string[], commands: readonly Command[]): number {
  const found = commands.find(({ name }) => name === first);
  return found === undefined ? 0 : 1 + commandLength(rest, found.commands ?? []);
}
