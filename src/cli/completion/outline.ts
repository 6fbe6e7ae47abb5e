import { declaredHandlers } from '../../core/config/handlers.ts';
import type { Command, CommandOption, ValueKind } from '../command.ts';
import { SERVER_OPTIONS } from '../options.ts';

/** A command with its path: ["config", "dump"]. */
export interface Placed {
  path: readonly string[];
  command: Command;
}

/** All commands of the table, groups before their commands. */
export function allCommands(commands: readonly Command[], above: readonly string[] = []): Placed[] {
  return commands.flatMap((command) => {
    const path = [...above, command.name];
    return [{ path, command }, ...allCommands(command.commands ?? [], path)];
  });
}

/** The option that every command has implicitly. */
export const HELP_OPTION: CommandOption = { name: 'help', short: 'h', description: 'show this help' };

/** Commands that print the values of each kind, one per line; several commands are run in order. */
export const LISTERS: Partial<Record<ValueKind, readonly string[]>> = {
  container: ['ps --all --names'],
  pod: ['pods --names'],
  object: ['ps --all --names', 'pods --names'],
  image: ['images --names'],
};

/** Options that select the server. */
export const SERVER_FLAGS = SERVER_OPTIONS.map(({ name }) => `--${name}`);

/** The static completions of a value; undefined when there are none. */
export function knownWords({
  choices,
  suggestions,
  kind,
}: Pick<CommandOption, 'choices' | 'suggestions' | 'kind'>): readonly string[] | undefined {
  return choices ?? suggestions ?? (kind === 'handler' ? declaredHandlers().map(({ name }) => name) : undefined);
}

/** `text` quoted as one word for any shell. */
export function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
