import type { Command } from '../command.ts';
import { versionInfo } from '../version-info.ts';

export const version: Command = {
  name: 'version',
  summary: 'print the version',
  options: [{ name: 'json', description: 'as JSON' }],
  run(context, input) {
    const info = versionInfo();
    if (input.has('json')) {
      context.stdout.write(`${JSON.stringify(info)}\n`);
    } else {
      const commit = info.commit === undefined ? '' : ` (commit ${info.commit})`;
      context.stdout.write(`proxmox-lxcri ${info.version}${commit}, Node.js ${info.node}\n`);
    }
    return Promise.resolve(0);
  },
};
