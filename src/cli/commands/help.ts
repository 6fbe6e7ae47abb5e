import { type Command, UsageError } from '../command.ts';

export const help: Command = {
  name: 'help',
  summary: 'show the help of the program or a command',
  arguments: [{ name: 'COMMAND', description: 'name of the command', optional: true, variadic: true, kind: 'command' }],
  run(context, input) {
    const text = context.help(input.args);
    if (text === undefined) throw new UsageError(`unknown command ${JSON.stringify(input.args.join(' '))}`);
    context.stdout.write(text);
    return Promise.resolve(0);
  },
};
