import type { Command } from '../command.ts';
import { LIST_OPTIONS, NAMES_OPTION } from '../options.ts';

export const pods: Command = {
  name: 'pods',
  summary: 'list pod sandboxes',
  options: [
    NAMES_OPTION,
    {
      name: 'wide',
      description:
        'print what chose the handler (the RuntimeClass, a rule of routing, or the default), VMID and node of a Proxmox guest, and whether it was taken from the warm pool',
    },
    ...LIST_OPTIONS,
  ],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { listPods } = await import('../client/pods.ts');
    using server = await connectServer(context, input);
    await listPods(context, server, input);
    return 0;
  },
};
