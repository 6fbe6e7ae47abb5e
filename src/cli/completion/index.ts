import { type Command, UsageError } from '../command.ts';
import { PROGRAM } from '../registry.ts';
import { bashCompletion } from './bash.ts';
import { fishCompletion } from './fish.ts';
import { zshCompletion } from './zsh.ts';

/** The completion script of a shell: bash, zsh or fish. @throws UsageError for another. */
export function completionScript(shell: string, commands: readonly Command[]): string {
  switch (shell) {
    case 'bash':
      return bashCompletion(PROGRAM, commands);
    case 'zsh':
      return zshCompletion(PROGRAM, commands);
    case 'fish':
      return fishCompletion(PROGRAM, commands);
    default:
      throw new UsageError(`unsupported shell ${JSON.stringify(shell)}; use bash, zsh or fish`);
  }
}
