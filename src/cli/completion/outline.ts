import type { Command, CommandOption, ValueKind } from '../command.ts';

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

/** Command lines that print the words a value of this kind can have, one a line. */
export const LISTERS: Partial<Record<ValueKind, string>> = {
  container: 'proxmox-lxcri ps --all --quiet',
  pod: 'proxmox-lxcri pods --quiet',
  image: 'proxmox-lxcri images --names',
};

/** `text` as one word of any shell. */
export function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
