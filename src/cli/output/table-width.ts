import type { CliContext, Input } from '../command.ts';

/** How wide a table may be: as the terminal, any width where there is none or --no-trunc was given. */
export function tableWidth({ stdout }: CliContext, input: Input): number | undefined {
  return stdout.isTTY === true && !input.has('no-trunc') ? stdout.columns : undefined;
}
