import type { Command, CommandArgument, CommandOption, ValueKind } from '../command.ts';
import { HELP_OPTION, LISTERS, SERVER_FLAGS, knownWords, shellQuote } from './outline.ts';

/** The completion script for zsh, to be installed as `_<program>` in a folder of fpath. */
export function zshCompletion(program: string, commands: readonly Command[]): string {
  const name = `_${program}`;
  const listers = Object.entries(LISTERS).map(
    ([kind, sources]) => `${name}-${kind}s() {
  local -a server words_found
  local i
  # What was typed before the command counts, too.
  for ((i = 2; i < $#typed; i++)); do
    case $typed[i] in
      ${SERVER_FLAGS.join(' | ')}) server+=("$typed[i]" "$typed[i+1]") ;;
      ${SERVER_FLAGS.map((flag) => `${flag}=*`).join(' | ')}) server+=("$typed[i]") ;;
    esac
  done
  words_found=(\${(fu)"$(${sources.map((lister) => `${program} ${lister} $server 2>/dev/null`).join('; ')})"})
  compadd -a words_found
}
`,
  );
  return `#compdef ${program}
# Completion of ${program} for zsh; made by "${program} completion zsh".

${listers.join('\n')}
${groupFunction(name, commands)}
local -a typed
typed=("\${words[@]}")
${name} "$@"
`;
}

/** One function a level: the first word chooses, the rest is handed to that command's specification. */
function groupFunction(name: string, commands: readonly Command[], all = commands): string {
  const nested = commands.flatMap((command) =>
    command.commands === undefined ? [] : [groupFunction(`${name}-${command.name}`, command.commands, all)],
  );
  const list = commands.map(({ name: word, summary }) => `    ${shellQuote(`${word}:${summary}`)}`).join('\n');
  const cases = commands.map((command) => `      ${command.name}) ${handOver(name, command, all)} ;;`).join('\n');
  return `${nested.join('')}${name}() {
  local curcontext="$curcontext" state line
  local -a commands
  commands=(
${list}
  )
  _arguments -C '(-h --help)'{-h,--help}'[explain]' ${SERVER_FLAGS.map((flag) => `${flag}'[server]:value:_files'`).join(' ')} '1: :->command' '*:: :->rest'
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

function handOver(name: string, command: Command, all: readonly Command[]): string {
  if (command.commands !== undefined) return `${name}-${command.name}`;
  const specifications = [...(command.options ?? []), HELP_OPTION].map(optionSpecification);
  const names = all.map((one) => one.name);
  const words = (command.arguments ?? []).map((argument, index) => argumentSpecification(argument, index, names));
  return `_arguments ${[...specifications, ...words].join(' ')}`;
}

function optionSpecification(option: CommandOption): string {
  const { name, short, value, description, repeat, kind } = option;
  const text = `[${description.replaceAll(/[[\]:\\]/g, '\\$&')}]`;
  const action = value === undefined ? '' : `:${value.replaceAll(':', '\\:')}:${actionOf(knownWords(option), kind)}`;
  const tail = shellQuote(text + action);
  if (short === undefined) return `${repeat === true ? `'*'` : ''}--${name}${tail}`;
  const exclusion = repeat === true ? `'*'` : shellQuote(`(-${short} --${name})`);
  return `${exclusion}{-${short},--${name}}${tail}`;
}

function argumentSpecification(
  { name, optional, variadic, choices, kind }: CommandArgument,
  index: number,
  commands: readonly string[],
): string {
  const place = variadic === true ? '*' : `${String(index + 1)}${optional === true ? ':' : ''}`;
  const words = choices ?? (kind === 'command' ? commands : undefined);
  return shellQuote(`${place}:${name.replaceAll(':', '\\:')}:${actionOf(words, kind)}`);
}

function actionOf(choices: readonly string[] | undefined, kind: ValueKind | undefined): string {
  if (choices !== undefined) return `(${choices.join(' ')})`;
  if (kind === 'file') return '_files';
  return kind !== undefined && kind in LISTERS ? `_proxmox-lxcri-${kind}s` : ' ';
}
