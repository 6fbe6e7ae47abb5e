import type { Command } from '../command.ts';
import { SERVER_OPTIONS } from '../options.ts';

export const commit: Command = {
  name: 'commit',
  summary: 'make an image of a container',
  description:
    'The image has the layers and the configuration of the image of the container, and one layer of what "diff" shows; volumes ' +
    'are not part of it. A running container is frozen while its files are read; on ZFS only for a snapshot.',
  arguments: [
    { name: 'CONTAINER', description: 'name or id, also a prefix', kind: 'container' },
    { name: 'NAME', description: 'name of the image' },
  ],
  options: [
    {
      name: 'change',
      short: 'c',
      value: 'INSTRUCTION',
      description:
        'change of the configuration, as CMD=…, ENTRYPOINT=…, ENV=K=V, EXPOSE=PORT, LABEL=K=V, STOPSIGNAL=…, USER=…, VOLUME=… or WORKDIR=…',
      repeat: true,
    },
    { name: 'author', short: 'a', value: 'TEXT', description: 'who has made it' },
    { name: 'message', short: 'm', value: 'TEXT', description: 'comment for its history' },
    { name: 'no-pause', description: 'leave the container running meanwhile' },
    ...SERVER_OPTIONS,
  ],
  examples: ['commit web localhost/web:fixed', 'commit web localhost/web:fixed -c \'CMD=["nginx"]\' -c ENV=DEBUG=1'],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { commitContainer } = await import('../transfer/commit.ts');
    using server = await connectServer(context, input);
    await commitContainer(context, server, input);
    return 0;
  },
};
