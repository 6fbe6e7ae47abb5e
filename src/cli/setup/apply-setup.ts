import { dirname, join } from 'node:path';
import type { Config } from '../../core/config/schema.ts';
import type { ProxmoxGrants } from '../command.ts';
import { MadeRecord } from './made.ts';
import { runSteps } from './run-steps.ts';
import type { Outcome } from './step.ts';
import { planSetup } from './steps.ts';

/** The record of what setup has made for a configuration file. @throws Error for a file that is not such a record. */
export function openMade(file: string): Promise<MadeRecord> {
  return MadeRecord.open(join(dirname(file), 'setup.json'));
}

/**
 * Runs all steps of setup. Returns the configuration afterwards. @param report gets what was found, then each step.
 * @throws the error of a step, whose run has left nothing; as planSetup.
 */
export async function applySetup(
  file: string,
  { storage, grants }: { storage?: string | undefined; grants: ProxmoxGrants },
  report: (outcome: Outcome) => void,
): Promise<Config> {
  const made = await openMade(file);
  const { found, steps, config } = await planSetup(file, storage, grants);
  found.forEach(report);
  await runSteps(steps, made, report);
  return config;
}
