import type { Command, ValueKind } from '../command.ts';
import { HELP_OPTION, LISTERS, type Placed, SERVER_FLAGS, allCommands, knownWords, shellQuote } from './outline.ts';

/** The completion script for bash 4 or later. It needs no other package. */
export function bashCompletion(program: string, commands: readonly Command[]): string {
  const placed = allCommands(commands);
  const groups = placed.filter(({ command }) => command.commands !== undefined).map(({ path }) => path.join(' '));
  return `# Completion of ${program} for bash; made by "${program} completion bash".
_${ident(program)}() {
  local line="\${COMP_LINE:0:COMP_POINT}" cur prev command='' kind='' list='' i
  local -a words server=()
  # Words are taken from the line itself, for bash splits at ":" and "=".
  cur="\${line##*[[:space:]]}"
  read -ra words <<<"\${line%"$cur"}"
  prev="\${words[\${#words[@]}-1]}"
  for ((i = 1; i < \${#words[@]}; i++)); do
    case "\${words[i]}" in
      ${SERVER_FLAGS.join(' | ')}) server+=("\${words[i]}" "\${words[i + 1]-}") ;;
      ${SERVER_FLAGS.map((flag) => `${flag}=*`).join(' | ')}) server+=("\${words[i]}") ;;
    esac
  done
  for ((i = 1; i < \${#words[@]}; i++)); do
    case "\${words[i]}" in
      ${SERVER_FLAGS.join(' | ')})
        ((i++))
        continue
        ;;
      -*) continue ;;
    esac
    case "$command" in
      ''${groups.map((group) => ` | ${shellQuote(group)}`).join('')}) command="\${command:+$command }\${words[i]}" ;;
      *) break ;;
    esac
  done
  case "$command:$prev" in
    ${SERVER_FLAGS.map((flag) => shellQuote(`:${flag}`)).join(' | ')}) kind=file ;;
${placed.flatMap(optionCases).join('\n')}
  esac
  if [[ -z $kind ]]; then
    if [[ $cur == -* ]]; then
      case "$command" in
        '') list='--help --version ${SERVER_FLAGS.join(' ')}' ;;
${placed.map(({ path, command }) => `        ${shellQuote(path.join(' '))}) list=${shellQuote(optionWords(command))} ;;`).join('\n')}
      esac
    else
      case "$command" in
        '') list=${shellQuote(commands.map(({ name }) => name).join(' '))} ;;
${placed.flatMap(argumentCases).join('\n')}
      esac
    fi
  fi
  case "$kind" in
    file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    command) list=${shellQuote(commands.map(({ name }) => name).join(' '))} ;;
${Object.entries(LISTERS)
  .map(([kind, listers]) => {
    const calls = listers.map((lister) => `${program} ${lister} "\${server[@]}" 2>/dev/null`).join('; ');
    return `    ${kind}) list="$(${calls})" ;;`;
  })
  .join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$list" -- "$cur")
  # Readline replaces only what follows the last ":".
  COMPREPLY=("\${COMPREPLY[@]#"\${cur%"\${cur##*:}"}"}")
}
complete -F _${ident(program)} ${program}
`;
}

function ident(program: string): string {
  return program.replaceAll('-', '_');
}

function optionWords(command: Command): string {
  return [...(command.options ?? []), HELP_OPTION].map(({ name }) => `--${name}`).join(' ');
}

function optionCases({ path, command }: Placed): string[] {
  return (command.options ?? [])
    .filter(({ value }) => value !== undefined)
    .map((option) => {
      const { name, short, kind } = option;
      const patterns = [`--${name}`, ...(short === undefined ? [] : [`-${short}`])];
      const pattern = patterns.map((flag) => shellQuote(`${path.join(' ')}:${flag}`)).join(' | ');
      return `    ${pattern}) ${values(knownWords(option), kind ?? 'none')} ;;`;
    });
}

function argumentCases({ path, command }: Placed): string[] {
  const first = command.arguments?.[0];
  const choices = command.commands?.map(({ name }) => name) ?? first?.choices;
  if (choices === undefined && first?.kind === undefined) return [];
  return [`        ${shellQuote(path.join(' '))}) ${values(choices, first?.kind ?? 'none')} ;;`];
}

function values(choices: readonly string[] | undefined, kind: ValueKind | 'none'): string {
  return choices === undefined ? `kind=${kind}` : `kind=choice list=${shellQuote(choices.join(' '))}`;
}
