import type { Command } from '../command.ts';
import { CONFIG_FLAG_OPTIONS, CONFIG_OPTION, OUTPUT_OPTION, configFlags } from '../options.ts';

export const doctor: Command = {
  name: 'doctor',
  summary: 'check this machine, and report what the next start would do',
  description:
    'Checks programs, kernel, cgroups, capabilities, CNI configuration, directories and socket, the data of an earlier ' +
    'server, and, with a table [proxmox], the hosts, token, privileges and storages of the cluster. It changes nothing. Exits with 1 when something is missing.',
  options: [OUTPUT_OPTION, CONFIG_OPTION, ...CONFIG_FLAG_OPTIONS],
  examples: ['doctor', 'doctor -o json --root /var/lib/proxmox-lxcri'],
  readsConfiguration: true,
  async run(context, input) {
    const [{ loadConfig }, { examine }, { formatFindings }, { formatTable }, { formatJson }] = await Promise.all([
      import('../../core/config/load.ts'),
      import('../doctor/examine.ts'),
      import('../doctor/report.ts'),
      import('../output/table.ts'),
      import('../output/json.ts'),
    ]);
    const { config } = await loadConfig({ file: input.text('config'), flags: configFlags(input) });
    const { findings, recovery } = await examine(config, context);
    const lacks = findings.some(({ status }) => status === 'missing');
    if (input.text('output') === 'json') {
      context.stdout.write(formatJson({ healthy: !lacks, findings, serverRuns: recovery === undefined, recovery }));
      return lacks ? 1 : 0;
    }
    const { isTTY = false, columns = 80 } = context.stdout;
    const colour = isTTY && !context.env['NO_COLOR'];
    context.stdout.write(formatFindings(findings, { width: columns, colour }));
    if (recovery === undefined)
      context.stdout.write('\nA running server uses these directories; it has reconciled them.\n');
    else if (recovery.length === 0) context.stdout.write('\nThe next start has nothing to recover.\n');
    else {
      const steps = recovery.map(({ kind, id, action }) => [kind, id, action]);
      context.stdout.write(`\nThe next start would:\n${formatTable(['WHAT', 'ID', 'DO'], steps)}`);
    }
    return lacks ? 1 : 0;
  },
};
