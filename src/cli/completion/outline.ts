import { declaredHandlers } from '../../core/config/handlers.ts';
import type { Command, CommandOption, ValueKind } from '../command.ts';
import { SERVER_OPTIONS } from '../options.ts';

/** A command with its place: ["config", "dump"]. */
export interface Placed {
  path: readonly string[];
  command: Command;
}

/** All commands of the table, holders before what they hold. */
export function allCommands(commands: readonly Command[], above: readonly string[] = []): Placed[] {
  return commands.flatMap((command) => {
    const path = [...above, command.name];
    return [{ path, command }, ...allCommands(command.commands ?? [], path)];
  });
}

/** Every command has it without saying so. */
export const HELP_OPTION: CommandOption = { name: 'help', short: 'h', description: 'explain this command' };

/** Commands that print the words a value of this kind can have, one a line; several commands are run one after the other. */
export const LISTERS: Partial<Record<ValueKind, readonly string[]>> = {
  container: ['ps --all --names'],
  pod: ['pods --names'],
  object: ['ps --all --names', 'pods --names'],
  image: ['images --names'],
};

/** Options that say which server is asked. */
export const SERVER_FLAGS = SERVER_OPTIONS.map(({ name }) => `--${name}`);

/** The words that are offered for a value and known beforehand; undefined when there are none. */
export function knownWords({
  choices,
  suggestions,
  kind,
}: Pick<CommandOption, 'choices' | 'suggestions' | 'kind'>): readonly string[] | undefined {
  return choices ?? suggestions ?? (kind === 'handler' ? declaredHandlers().map(({ name }) => name) : undefined);
}

/** `text` as one word of any shell. */
export function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
