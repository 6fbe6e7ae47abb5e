import type { Command } from '../command.ts';
import { FORMAT_OPTION, SERVER_OPTIONS } from '../options.ts';

export const events: Command = {
  name: 'events',
  summary: 'follow the events of containers and pods',
  description: 'Prints a line for each new event, until SIGINT or SIGTERM; with --format json one object per line.',
  options: [FORMAT_OPTION, ...SERVER_OPTIONS],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { followEvents } = await import('../client/events.ts');
    using server = await connectServer(context, input);
    await followEvents(context, server, input);
    return 0;
  },
};
