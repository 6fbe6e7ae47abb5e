import type { Command } from '../command.ts';
import { exitCodeOf } from '../exit-code.ts';
import { SERVER_OPTIONS } from '../options.ts';

export const cp: Command = {
  name: 'cp',
  summary: 'copy files or directories into or out of a running container',
  description:
    'One of the two is CONTAINER:PATH. An existing directory as TARGET takes the source in, another name is the new name. ' +
    'Needs tar and test in the container. Files get the owner who runs there or here; devices are left out, and what comes ' +
    'out has no set-user-ID bits.',
  arguments: [
    { name: 'SOURCE', description: 'what to copy', kind: 'file' },
    { name: 'TARGET', description: 'where to', kind: 'file' },
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
