import type { Command, ValueKind } from '../command.ts';
import { LISTERS, type Placed, allCommands, shellQuote } from './outline.ts';

/** The completion script for fish 3 or later. */
export function fishCompletion(program: string, commands: readonly Command[]): string {
  const lines = [
    `# Completion of ${program} for fish; made by "${program} completion fish".`,
    `complete -c ${program} -f`,
    `complete -c ${program} -n __fish_use_subcommand -s h -l help -d 'explain the program'`,
    `complete -c ${program} -n __fish_use_subcommand -s V -l version -d 'print the version'`,
  ];
  for (const { name, summary } of commands) {
    lines.push(`complete -c ${program} -n __fish_use_subcommand -a ${name} -d ${shellQuote(summary)}`);
  }
  for (const placed of allCommands(commands)) lines.push(...commandLines(program, placed));
  return `${lines.join('\n')}\n`;
}

function commandLines(program: string, { path, command }: Placed): string[] {
  const condition = path.map((name) => `__fish_seen_subcommand_from ${name}`).join('; and ');
  const start = `complete -c ${program} -n ${shellQuote(condition)}`;
  const lines = (command.commands ?? []).map(({ name, summary }) => {
    const others = (command.commands ?? []).map((child) => child.name).join(' ');
    const only = `${condition}; and not __fish_seen_subcommand_from ${others}`;
    return `complete -c ${program} -n ${shellQuote(only)} -a ${name} -d ${shellQuote(summary)}`;
  });
  for (const { name, short, value, description, choices, kind } of command.options ?? []) {
    const letter = short === undefined ? '' : ` -s ${short}`;
    const words = value === undefined ? '' : ` -r${valueWords(choices, kind)}`;
    lines.push(`${start}${letter} -l ${name}${words} -d ${shellQuote(description)}`);
  }
  const first = command.arguments?.[0];
  const words = valueWords(first?.choices, first?.kind === 'command' ? undefined : first?.kind);
  if (words !== '') lines.push(`${start}${words}`);
  return lines;
}

function valueWords(choices: readonly string[] | undefined, kind: ValueKind | undefined): string {
  if (choices !== undefined) return ` -a ${shellQuote(choices.join(' '))}`;
  if (kind === 'file') return ' -F';
  const lister = kind === undefined ? undefined : LISTERS[kind];
  return lister === undefined ? '' : ` -a ${shellQuote(`(${lister} 2>/dev/null)`)}`;
}
