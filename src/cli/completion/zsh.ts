import type { Command, CommandArgument, CommandOption, ValueKind } from '../command.ts';
import { HELP_OPTION, LISTERS, shellQuote } from './outline.ts';

/** The completion script for zsh, to be installed as `_<program>` in a folder of fpath. */
export function zshCompletion(program: string, commands: readonly Command[]): string {
  const name = `_${program}`;
  const listers = Object.entries(LISTERS).map(
    ([kind, lister]) => `${name}-${kind}s() {
  local -a words_found
  words_found=("\${(@f)$(${lister} 2>/dev/null)}")
  compadd -a words_found
}
`,
  );
  return `#compdef ${program}
# Completion of ${program} for zsh; made by "${program} completion zsh".

${listers.join('\n')}
${groupFunction(name, commands)}
${name} "$@"
`;
}

/** One function a level: the first word chooses, the rest is handed to that command's specification. */
function groupFunction(name: string, commands: readonly Command[]): string {
  const nested = commands.flatMap((command) =>
    command.commands === undefined ? [] : [groupFunction(`${name}-${command.name}`, command.commands)],
  );
  const list = commands.map(({ name: word, summary }) => `    ${shellQuote(`${word}:${summary}`)}`).join('\n');
  const cases = commands.map((command) => `      ${command.name}) ${handOver(name, command)} ;;`).join('\n');
  return `${nested.join('')}${name}() {
  local curcontext="$curcontext" state line
  local -a commands
  commands=(
${list}
  )
  _arguments -C '(-h --help)'{-h,--help}'[explain]' '1: :->command' '*:: :->rest'
  case "$state" in
    command) _describe command commands ;;
    rest)
      case "\${line[1]}" in
${cases}
      esac
      ;;
  esac
}
`;
}

function handOver(name: string, command: Command): string {
  if (command.commands !== undefined) return `${name}-${command.name}`;
  const specifications = [...(command.options ?? []), HELP_OPTION].map(optionSpecification);
  const words = (command.arguments ?? []).map(argumentSpecification);
  return `_arguments ${[...specifications, ...words].join(' ')}`;
}

function optionSpecification({ name, short, value, description, repeat, choices, kind }: CommandOption): string {
  const text = `[${description.replaceAll(/[[\]:\\]/g, '\\$&')}]`;
  const action = value === undefined ? '' : `:${value.replaceAll(':', '\\:')}:${actionOf(choices, kind)}`;
  const tail = shellQuote(text + action);
  if (short === undefined) return `${repeat === true ? `'*'` : ''}--${name}${tail}`;
  const exclusion = repeat === true ? `'*'` : shellQuote(`(-${short} --${name})`);
  return `${exclusion}{-${short},--${name}}${tail}`;
}

function argumentSpecification({ name, optional, variadic, choices, kind }: CommandArgument, index: number): string {
  const place = variadic === true ? '*' : `${String(index + 1)}${optional === true ? ':' : ''}`;
  return shellQuote(`${place}:${name}:${actionOf(choices, kind)}`);
}

function actionOf(choices: readonly string[] | undefined, kind: ValueKind | undefined): string {
  if (choices !== undefined) return `(${choices.join(' ')})`;
  if (kind === 'file') return '_files';
  return kind !== undefined && kind in LISTERS ? `_proxmox-lxcri-${kind}s` : ' ';
}
