import { manualLines, manualPage, manualSection, manualTerm, roffText } from '../utils/roff.ts';
import type { Command, CommandOption } from './command.ts';
import { HELP_OPTION, allCommands } from './completion/outline.ts';
import { argumentWords } from './reference.ts';
import { COMMANDS, PROGRAM, PROGRAM_SUMMARY } from './registry.ts';

/** The manual page proxmox-lxcri(1), from the command table. @param about the date and version at its edges. */
export function cliManual(about: { date: string; version: string }): string {
  return manualPage({ name: PROGRAM, section: 1, ...about }, [
    manualSection('NAME', `${roffText(PROGRAM)} \\- ${roffText(PROGRAM_SUMMARY)}`),
    manualSection('SYNOPSIS', `\\fB${roffText(PROGRAM)}\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]`),
    manualSection(
      'DESCRIPTION',
      roffText(
        'Serves the Kubernetes Container Runtime Interface to the kubelet, and runs each pod as an LXC container. Most commands ' +
          'are clients of the running server.',
      ),
    ),
    '.SH COMMANDS',
    ...allCommands(COMMANDS).map(({ path, command }) => commandPart(path, command)),
    manualSection(
      'EXIT STATUS',
      roffText('0, 1 for an error, or 2 for a usage error, unless a command says otherwise.'),
    ),
    manualSection(
      'FILES',
      manualTerm('/etc/proxmox-lxcri/config.toml, /etc/proxmox-lxcri/conf.d/*.toml', 'the configuration'),
      manualTerm('/run/proxmox-lxcri/proxmox-lxcri.sock', 'the socket for the kubelet and crictl'),
      manualTerm('/var/lib/proxmox-lxcri', 'records, images and root filesystems'),
    ),
    manualSection('SEE ALSO', roffText('proxmox-lxcri.toml(5), crictl(1), lxc(7), crun(1), conmon(8)')),
  ]);
}

function commandPart(path: readonly string[], command: Command): string {
  const words = command.run === undefined ? [] : ['[OPTIONS]', ...argumentWords(command)];
  return [
    `.SS ${roffText([...path, ...words].join(' '))}`,
    roffText(`${command.summary.charAt(0).toUpperCase()}${command.summary.slice(1)}.`),
    ...(command.description === undefined ? [] : ['.PP', roffText(command.description)]),
    ...(command.arguments ?? []).map(({ name, description, choices }) =>
      manualTerm(name, description + choiceText(choices)),
    ),
    ...(command.run === undefined ? [] : [...(command.options ?? []), HELP_OPTION].map(optionPart)),
    ...(command.examples === undefined ? [] : [manualLines(command.examples.map((line) => `${PROGRAM} ${line}`))]),
  ].join('\n');
}

function optionPart({ name, short, value, description, repeat, choices }: CommandOption): string {
  const flags = `${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`;
  return manualTerm(flags, `${description}${choiceText(choices)}${repeat === true ? '; may be repeated' : ''}`);
}

function choiceText(choices: readonly string[] | undefined): string {
  return choices === undefined ? '' : ` (${choices.join(', ')})`;
}
