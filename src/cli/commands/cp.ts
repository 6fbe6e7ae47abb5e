import type { Command } from '../command.ts';
import { exitCodeOf } from '../exit-code.ts';
import { SERVER_OPTIONS } from '../options.ts';

export const cp: Command = {
  name: 'cp',
  summary: 'copy files or directories into or out of a running container',
  description:
    'One of the two is CONTAINER:PATH. The source is copied into TARGET if that is an existing directory, else to that name. ' +
    'Requires tar and test in the container. Files belong to the user of the container or of this command; devices are ' +
    'skipped, and files copied out have no set-user-ID bits.',
  arguments: [
    { name: 'SOURCE', description: 'file or directory to copy', kind: 'file' },
    { name: 'TARGET', description: 'destination', kind: 'file' },
  ],
  options: SERVER_OPTIONS,
  examples: ['cp site.conf web:/etc/nginx/conf.d/', 'cp web:/var/log/nginx logs'],
  exitCodeOf,
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { copyFiles } = await import('../copy/copy.ts');
    using server = await connectServer(context, input);
    await copyFiles(context, server, input);
    return 0;
  },
};
