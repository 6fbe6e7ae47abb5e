import { readFile } from 'node:fs/promises';
import { run } from '../../host/processes/run.ts';
import { type Finding, ok, warning } from '../../core/model/finding.ts';

/** Whether containers are confined by an AppArmor profile. */
export async function checkAppArmor(): Promise<Finding> {
  const subject = 'AppArmor';
  const enabled = await readFile('/sys/module/apparmor/parameters/enabled', 'utf8').catch(() => '');
  if (!enabled.startsWith('Y'))
    return ok(subject, 'disabled or not supported by this kernel; containers run without a profile');
  const parser = await run('apparmor_parser', ['--version'], { timeoutMs: 10_000 }).catch(() => undefined);
  return parser === undefined
    ? warning(subject, 'apparmor_parser not found; containers run without a profile', 'apt-get install apparmor')
    : ok(subject, 'enabled');
}
