import type { CommandOption } from '../command.ts';

/** Options with what opens or encrypts a BFC file. @param prefix of their names. @param use for their descriptions: `open with`. */
export function secretOptions(use: string, prefix = ''): CommandOption[] {
  return [
    { name: `${prefix}key-file`, value: 'PATH', description: `${use} the first 32 bytes of this file`, kind: 'file' },
    { name: `${prefix}password-file`, value: 'PATH', description: `${use} the password in this file`, kind: 'file' },
    { name: `${prefix}password-fd`, value: 'N', description: `${use} the password that this file descriptor gives` },
  ];
}

/** Beside {@link secretOptions} of a command that does not ask of its own accord. */
export const ASK_PASSWORD_OPTION: CommandOption = {
  name: 'ask-password',
  description: 'ask for the password on the terminal',
};
