import { type Command, UsageError } from '../command.ts';

export const help: Command = {
  name: 'help',
  summary: 'explain the program or a command',
  arguments: [{ name: 'COMMAND', description: 'command to explain', optional: true, variadic: true, kind: 'command' }],
  run(context, input) {
    const text = context.help(input.args);
    if (text === undefined) throw new UsageError(`there is no command ${JSON.stringify(input.args.join(' '))}`);
    context.stdout.write(text);
    return Promise.resolve(0);
  },
};
