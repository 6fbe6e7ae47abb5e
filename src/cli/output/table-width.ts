import type { CliContext, Input } from '../command.ts';

/** The maximum width of a table: that of the terminal; undefined without one or with --no-trunc. */
export function tableWidth({ stdout }: CliContext, input: Input): number | undefined {
  return stdout.isTTY === true && !input.has('no-trunc') ? stdout.columns : undefined;
}
