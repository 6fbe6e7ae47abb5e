import type { Writable } from 'node:stream';
import { CommanderError } from 'commander';
import { printable } from '../core/logging/escape.ts';
import { redactText } from '../core/logging/redact.ts';
import { isErrno } from '../utils/errors.ts';
import { type CliContext, type CliSignal, LoggedError, UsageError } from './command.ts';
import { errorText } from './error-text.ts';
import { afterCommand } from './global-options.ts';
import { type ParserContext, buildProgram } from './program.ts';
import { COMMANDS, PROGRAM } from './registry.ts';
import { versionInfo } from './version-info.ts';

const FAILED = 1;
const USAGE = 2;

/**
 * Runs the command line `argv` (without program and script) and returns the exit code: the command's, or for an error that
 * of its `exitCodeOf`, else 1, and 2 for usage errors. Errors are written to standard error, a line each, after the program's
 * name. Never throws.
 */
export async function runCli(
  argv: readonly string[],
  {
    serve,
    wipe,
    examineProxmox,
    examineRootfs,
    rootfsNotes,
    proxmoxGrants,
    bfcFiles,
    declareHandlers,
  }: Pick<
    CliContext,
    | 'serve'
    | 'wipe'
    | 'examineProxmox'
    | 'examineRootfs'
    | 'rootfsNotes'
    | 'proxmoxGrants'
    | 'bfcFiles'
    | 'declareHandlers'
  >,
  outside: Partial<ParserContext> = {},
): Promise<number> {
  const context: ParserContext = {
    stdin: () => process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    onSignal: onProcessSignal,
    ...outside,
    serve,
    wipe,
    examineProxmox,
    examineRootfs,
    rootfsNotes,
    proxmoxGrants,
    bfcFiles,
    declareHandlers,
  };
  let exitCode = 0;
  const program = buildProgram(COMMANDS, context, versionInfo().version, (code) => {
    exitCode = code;
  });
  // The reader of a pipe may close it early; a full disk is still an error.
  let outputError: unknown;
  context.stdout.on('error', (error: unknown) => {
    if (!isErrno(error, 'EPIPE')) outputError = error;
  });
  context.stderr.on('error', () => undefined);
  const report = (error: unknown) => {
    for (const line of linesOf(error)) context.stderr.write(`${PROGRAM}: ${printable(redactText(line))}\n`);
  };
  if (argv.length === 0) {
    context.stdout.write(program.helpInformation());
    return 0;
  }
  try {
    await program.parseAsync(afterCommand(argv, COMMANDS), { from: 'user' });
    await flush(context.stdout);
    if (outputError === undefined) return exitCode;
    report(outputError);
    return FAILED;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    if (error instanceof CommanderError && error.code === 'commander.help') return USAGE; // the help was printed
    if (error instanceof LoggedError) return FAILED;
    report(error);
    if (exitCode !== 0) return exitCode;
    return error instanceof CommanderError || error instanceof UsageError ? USAGE : FAILED;
  }
}

/** Resolves when all output has been written or has failed. */
function flush(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    stream.write('', () => {
      // An 'error' event follows the callbacks.
      setImmediate(resolve);
    });
  });
}

function linesOf(error: unknown): string[] {
  if (!(error instanceof CommanderError)) return errorText(error).split('\n');
  return [error.message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' ')];
}

const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Listens for the process's signals; a closed standard output counts as SIGPIPE. */
function onProcessSignal(listener: (signal: CliSignal) => void): () => void {
  const onSignal = (signal: NodeJS.Signals) => {
    listener(signal as CliSignal);
  };
  const onBrokenPipe = () => {
    listener('SIGPIPE');
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  process.stdout.once('error', onBrokenPipe);
  return () => {
    for (const signal of SIGNALS) process.off(signal, onSignal);
    process.stdout.off('error', onBrokenPipe);
  };
}
