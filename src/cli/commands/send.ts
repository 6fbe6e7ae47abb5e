import type { Command } from '../command.ts';
import { SERVER_OPTIONS } from '../options.ts';

export const send: Command = {
  name: 'send',
  summary: 'write an image or the files of a container for "receive" on another node with ZFS',
  description:
    'Writes what ZFS has: each layer of the image as a "zfs send" stream, and the root filesystem of the container after them. FILE is ' +
    'on the host of the server, and must not exist; without it, standard output. A container is preferred to an image of that name.',
  arguments: [
    { name: 'OBJECT', description: 'container or image', kind: 'object' },
    { name: 'FILE', description: 'file to write', optional: true, kind: 'file' },
  ],
  options: [
    { name: 'snapshot', value: 'NAME', description: 'snapshot of the container (default: as it is now)' },
    ...SERVER_OPTIONS,
  ],
  examples: [
    'send web | ssh other proxmox-lxcri receive --name localhost/web:moved',
    'send docker.io/library/debian:13 /srv/debian.zfs',
  ],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { sendObject } = await import('../transfer/send.ts');
    using server = await connectServer(context, input);
    await sendObject(context, server, input);
    return 0;
  },
};
