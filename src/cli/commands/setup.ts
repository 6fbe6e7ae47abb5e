import { resolve } from 'node:path';
import type { Config } from '../../core/config/schema.ts';
import { type Command, UsageError } from '../command.ts';
import { CONFIG_OPTION, OUTPUT_OPTION } from '../options.ts';

export const setup: Command = {
  name: 'setup',
  summary: 'configure this machine as a node, or remove what setup made',
  description:
    'Writes the configuration and /etc/crictl.yaml where there are none, and sees to modules and parameters of the kernel; on a node of Proxmox VE it also makes a resource pool, ' +
    'and a user and token with the privileges that pods as containers need. It prints a line for each step, and the options of ' +
    'kubeadm, k3s and k0s. A file that exists is never changed. When a step fails, what the earlier ones made is removed. Setup ' +
    'may be repeated; it records what it made in setup.json beside the configuration. It must be run as root.',
  options: [
    { name: 'dry-run', description: 'print what would be done, and change nothing' },
    { name: 'remove', description: 'remove what setup made, except what was changed since or others use' },
    {
      name: 'storage',
      value: 'NAME',
      description: "storage of Proxmox VE for the guests' root filesystems (default the first of ZFS)",
    },
    OUTPUT_OPTION,
    CONFIG_OPTION,
  ],
  examples: ['setup --dry-run', 'setup', 'setup --remove'],
  readsConfiguration: true,
  async run(context, input) {
    if (process.getuid?.() !== 0) throw new Error('setup reads and changes what only root may: run it as root');
    if (input.has('dry-run') && input.has('remove')) throw new UsageError('--dry-run and --remove exclude each other');
    const [{ DEFAULT_CONFIG_FILE }, { applySetup, openMade }, runner, { formatTable }, { formatJson }] =
      await Promise.all([
        import('../../core/config/sources.ts'),
        import('../setup/apply-setup.ts'),
        import('../setup/run-steps.ts'),
        import('../output/table.ts'),
        import('../output/json.ts'),
      ]);
    const file = resolve(input.text('config') ?? DEFAULT_CONFIG_FILE);
    const outcomes: { step: string; outcome: string; text: string }[] = [];
    const report = (one: (typeof outcomes)[number]) => void outcomes.push(one);
    const print = (after: string) => {
      const rows = outcomes.map(({ step, outcome, text }) => [outcome, step, text]);
      const isJson = input.text('output') === 'json';
      if (isJson) context.stdout.write(formatJson({ steps: outcomes }));
      else context.stdout.write(`${rows.length === 0 ? '' : formatTable(['OUTCOME', 'STEP', 'TEXT'], rows)}${after}`);
    };
    if (input.has('remove')) {
      const made = await openMade(file);
      const isEmpty = made.entries.length === 0;
      await runner.removeAll(made, report).finally(() => {
        print(isEmpty ? 'Nothing to remove: setup has made nothing\n' : '');
      });
      return 0;
    }
    const [{ planSetup }, { joinLines }] = await Promise.all([
      import('../setup/steps.ts'),
      import('../setup/join-lines.ts'),
    ]);
    const [storage, grants] = [input.text('storage'), context.proxmoxGrants];
    let config: Config;
    if (input.has('dry-run')) {
      const plan = await planSetup(file, storage, grants);
      plan.found.forEach(report);
      await runner.planSteps(plan.steps, report);
      ({ config } = plan);
    } else {
      config = await applySetup(file, { storage, grants }, report).catch((error: unknown) => {
        print('');
        throw error;
      });
    }
    print(
      `\nNext: proxmox-lxcri doctor, systemctl restart proxmox-lxcri, and on joining a cluster\n${joinLines(config)}`,
    );
    return 0;
  },
};
