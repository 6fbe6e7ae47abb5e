import type { Command, ValueKind } from '../command.ts';
import { LISTERS, type Placed, SERVER_FLAGS, allCommands, knownWords, shellQuote } from './outline.ts';

/** The completion script for fish 3 or later. */
export function fishCompletion(program: string, commands: readonly Command[]): string {
  const lines = [
    `# Completion of ${program} for fish; made by "${program} completion fish".`,
    serverFunction(program),
    `complete -c ${program} -f`,
    `complete -c ${program} -n __fish_use_subcommand -s h -l help -d 'explain the program'`,
    `complete -c ${program} -n __fish_use_subcommand -s V -l version -d 'print the version'`,
  ];
  for (const { name, summary } of commands) {
    lines.push(`complete -c ${program} -n __fish_use_subcommand -a ${name} -d ${shellQuote(summary)}`);
  }
  const names = commands.map(({ name }) => name);
  for (const placed of allCommands(commands)) lines.push(...commandLines(program, placed, names));
  return `${lines.join('\n')}\n`;
}

function commandLines(program: string, { path, command }: Placed, names: readonly string[]): string[] {
  const condition = path.map((name) => `__fish_seen_subcommand_from ${name}`).join('; and ');
  const start = `complete -c ${program} -n ${shellQuote(condition)}`;
  const lines = (command.commands ?? []).map(({ name, summary }) => {
    const others = (command.commands ?? []).map((child) => child.name).join(' ');
    const only = `${condition}; and not __fish_seen_subcommand_from ${others}`;
    return `complete -c ${program} -n ${shellQuote(only)} -a ${name} -d ${shellQuote(summary)}`;
  });
  for (const option of command.options ?? []) {
    const { name, short, value, description, kind } = option;
    const letter = short === undefined ? '' : ` -s ${short}`;
    const words = value === undefined ? '' : ` -r${valueWords(program, knownWords(option), kind)}`;
    lines.push(`${start}${letter} -l ${name}${words} -d ${shellQuote(description)}`);
  }
  const first = command.arguments?.[0];
  const words = valueWords(program, first?.kind === 'command' ? names : first?.choices, first?.kind);
  if (words !== '') lines.push(`${start}${words}`);
  return lines;
}

function valueWords(program: string, choices: readonly string[] | undefined, kind: ValueKind | undefined): string {
  if (choices !== undefined) return ` -a ${shellQuote(choices.join(' '))}`;
  if (kind === 'file') return ' -F';
  const listers = (kind === undefined ? undefined : LISTERS[kind]) ?? [];
  const calls = listers.map((lister) => `${program} ${lister} (${serverName(program)}) 2>/dev/null`);
  return calls.length === 0 ? '' : ` -a ${shellQuote(`(${calls.join('; ')})`)}`;
}

function serverName(program: string): string {
  return `__${program.replaceAll('-', '_')}_server`;
}

/** Prints the options of the line that say which server is asked, a word a line. */
function serverFunction(program: string): string {
  return `function ${serverName(program)}
  set -l words (commandline -opc)
  for i in (seq (count $words))
    switch $words[$i]
      case ${SERVER_FLAGS.join(' ')}
        printf '%s\\n' $words[$i] $words[(math $i + 1)]
      case ${SERVER_FLAGS.map((flag) => `'${flag}=*'`).join(' ')}
        printf '%s\\n' $words[$i]
    end
  end
end`;
}
