import { resolve } from 'node:path';
import type { CliContext, Command, Input } from '../command.ts';
import type { Outcome } from '../setup/step.ts';
import { CONFIG_FLAG_OPTIONS, CONFIG_OPTION, OUTPUT_OPTION, configFlags } from '../options.ts';

export const doctor: Command = {
  name: 'doctor',
  summary: 'check this machine, and report what the next start would do',
  description:
    'Checks programs, kernel, cgroups, capabilities, CNI configuration, directories and socket, the data of an earlier ' +
    'server, and, with a table [proxmox], the hosts, token, privileges and storages of the cluster. It changes nothing, except with --fix, which ' +
    'first does what setup would. Exits with 1 when something is missing.',
  options: [
    { name: 'fix', description: 'run the steps of setup before' },
    OUTPUT_OPTION,
    CONFIG_OPTION,
    ...CONFIG_FLAG_OPTIONS,
  ],
  examples: ['doctor', 'doctor --fix', 'doctor -o json --root /var/lib/proxmox-lxcri'],
  readsConfiguration: true,
  async run(context, input) {
    const [{ loadConfig }, { examine }, { formatFindings }, { formatTable }, { formatJson }] = await Promise.all([
      import('../../core/config/load.ts'),
      import('../doctor/examine.ts'),
      import('../doctor/report.ts'),
      import('../output/table.ts'),
      import('../output/json.ts'),
    ]);
    const fixed = input.has('fix') ? await fix(context, input) : undefined;
    const { config } = await loadConfig({ file: input.text('config'), flags: configFlags(input) });
    const { findings, recovery } = await examine(config, context);
    const lacks = findings.some(({ status }) => status === 'missing');
    if (input.text('output') === 'json') {
      context.stdout.write(
        formatJson({
          ...(fixed && { fixed }),
          healthy: !lacks,
          findings,
          serverRuns: recovery === undefined,
          recovery,
        }),
      );
      return lacks ? 1 : 0;
    }
    if (fixed !== undefined) {
      const rows = fixed.map(({ step, outcome, text }) => [outcome, step, text]);
      context.stdout.write(`${formatTable(['OUTCOME', 'STEP', 'TEXT'], rows)}\n`);
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

/** Runs the steps of setup, and returns what they did; nothing for those that had nothing to do. */
async function fix(context: CliContext, input: Input): Promise<Outcome[]> {
  if (process.getuid?.() !== 0) throw new Error('--fix changes what only root may: run it as root');
  const [{ DEFAULT_CONFIG_FILE }, { applySetup }] = await Promise.all([
    import('../../core/config/sources.ts'),
    import('../setup/apply-setup.ts'),
  ]);
  const outcomes: Outcome[] = [];
  const file = resolve(input.text('config') ?? DEFAULT_CONFIG_FILE);
  await applySetup(file, { grants: context.proxmoxGrants }, (outcome) => {
    if (outcome.outcome !== 'found') outcomes.push(outcome);
  });
  return outcomes;
}
