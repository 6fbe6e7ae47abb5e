import { Help, Option, Command as Parser } from 'commander';
import { type CliContext, type Command, type CommandArgument, type CommandOption, Input } from './command.ts';
import { PROGRAM, PROGRAM_SUMMARY } from './registry.ts';

/** The context that the parser needs: everything but the help, which it provides. */
export type ParserContext = Omit<CliContext, 'help'>;

/**
 * Builds the parser of the command table. `done` receives the exit code of the command, or the one for its error. Parsing
 * throws commander's CommanderError for help (code 0) and for usage errors.
 */
export function buildProgram(
  commands: readonly Command[],
  context: ParserContext,
  version: string,
  done: (exitCode: number) => void,
): Parser {
  const program = new Parser(PROGRAM);
  const full: CliContext = { ...context, help: (path) => find(program, path)?.helpInformation() };
  const configure = (parser: Parser, exitCodeOf?: Command['exitCodeOf']) =>
    parser
      .exitOverride((error) => {
        if (error.exitCode !== 0 && exitCodeOf !== undefined) done(exitCodeOf(error));
        throw error;
      })
      .helpCommand(false)
      .helpOption('-h, --help', 'show this help')
      .configureOutput({
        writeOut: (text) => context.stdout.write(text),
        writeErr: (text) => context.stderr.write(text),
        outputError: () => undefined, // the caller of the parser prints errors
      });
  configure(program)
    .description(PROGRAM_SUMMARY)
    .version(version, '-V, --version', 'print the version')
    .enablePositionalOptions()
    .configureHelp({ subcommandTerm: (command) => command.name() });

  const add = (parent: Parser, command: Command) => {
    const parser = configure(parent.command(command.name), command.exitCodeOf).summary(command.summary);
    parser.description(describe(command));
    parser.configureHelp({
      subcommandTerm: (child) => child.name(),
      formatHelp: (shown, helper) => formatHelp(shown, helper, command.examples ?? []),
    });
    for (const argument of command.arguments ?? []) addArgument(parser, argument);
    for (const option of command.options ?? []) parser.addOption(toOption(option));
    if (command.passThrough === true) parser.passThroughOptions();
    for (const child of command.commands ?? []) add(parser, child);
    const { run } = command;
    if (run === undefined) return;
    parser.action(async () => {
      try {
        if (command.readsConfiguration === true) await context.declareHandlers();
        done(await run(full, new Input(wordsOf(parser, command), parser.opts())));
      } catch (error) {
        if (command.exitCodeOf !== undefined) done(command.exitCodeOf(error));
        throw error;
      }
    });
  };
  for (const command of commands) add(program, command);
  return program;
}

function describe({ summary, description }: Command): string {
  const phrase = `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`;
  return description === undefined ? phrase : `${phrase}\n\n${description}`;
}

/** Commander's help, followed by the examples, whose lines it would break. */
function formatHelp(parser: Parser, helper: Help, examples: readonly string[]): string {
  const help = Help.prototype.formatHelp.call(helper, parser, helper);
  if (examples.length === 0) return help;
  return `${help}\nExamples:\n${examples.map((line) => `  ${PROGRAM} ${line}\n`).join('')}`;
}

function addArgument(parser: Parser, { name, description, optional, variadic, choices }: CommandArgument): void {
  const word = variadic === true ? `${name}...` : name;
  const argument = parser.createArgument(optional === true ? `[${word}]` : `<${word}>`, description);
  parser.addArgument(choices === undefined ? argument : argument.choices(choices));
}

function toOption({ name, short, value, description, repeat, choices }: CommandOption): Option {
  const flags = `${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` <${value}>`}`;
  // commander parses "--no-…" as the negation of an option; here it is a switch like others.
  const option = new PlainOption(flags, description);
  if (choices !== undefined) option.choices(choices);
  if (repeat === true) {
    option.argParser((text: string, before: string[] | undefined) => [...(before ?? []), text]);
  }
  return option;
}

class PlainOption extends Option {
  override attributeName(): string {
    return this.name();
  }

  constructor(flags: string, description: string) {
    super(flags, description);
    this.negate = false;
  }
}

/** The arguments, without the "--" before another program's command line. */
function wordsOf(parser: Parser, command: Command): string[] {
  const words = [...parser.args];
  if (command.passThrough === true && words[1] === '--') words.splice(1, 1);
  return words;
}

function find(program: Parser, path: readonly string[]): Parser | undefined {
  return path.reduce<Parser | undefined>(
    (parser, name) => parser?.commands.find((command) => command.name() === name),
    program,
  );
}
