import type { Command } from '../command.ts';
import { OUTPUT_OPTION, SERVER_OPTIONS } from '../options.ts';

export const receive: Command = {
  name: 'receive',
  summary: 'make an image of what "send" of another node has written',
  description:
    'Receives the layers that are missing, and skips the others. FILE is on the host of the server; without it, standard input. The ' +
    'kernel reads what arrives: receive from trusted nodes only.',
  arguments: [{ name: 'FILE', description: 'file to read', optional: true, kind: 'file' }],
  options: [
    {
      name: 'name',
      value: 'REFERENCE',
      description: 'name of the image (default: its names; required for a container)',
    },
    OUTPUT_OPTION,
    ...SERVER_OPTIONS,
  ],
  examples: ['receive /srv/debian.zfs', 'receive --name localhost/web:moved <web.zfs'],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { receiveImage } = await import('../transfer/receive.ts');
    using server = await connectServer(context, input);
    await receiveImage(context, server, input);
    return 0;
  },
};
