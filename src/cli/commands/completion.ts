import type { Command } from '../command.ts';

export const completion: Command = {
  name: 'completion',
  summary: 'print a completion script for a shell',
  description:
    'The script completes commands, options and their values. Names of containers, pods and images are requested from the server of --address or --config on the line.',
  arguments: [{ name: 'SHELL', description: 'the shell', choices: ['bash', 'zsh', 'fish'] }],
  examples: [
    'completion bash > /usr/share/bash-completion/completions/proxmox-lxcri',
    'completion zsh > /usr/share/zsh/vendor-completions/_proxmox-lxcri',
    'completion fish > /usr/share/fish/vendor_completions.d/proxmox-lxcri.fish',
  ],
  readsConfiguration: true,
  async run(context, input) {
    // The table contains this command: a static import would be a cycle.
    const { COMMANDS } = await import('../registry.ts');
    const { completionScript } = await import('../completion/index.ts');
    context.stdout.write(completionScript(input.args[0] ?? '', COMMANDS));
    return 0;
  },
};
