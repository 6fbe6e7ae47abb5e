import type { Draft } from '../draft.ts';
import { windowsVersion } from './windows.ts';

/** Adds the settings of timers and of the guest's clock. */
export function addClock(draft: Draft): void {
  const { values, machine, host } = draft;
  const windows = windowsVersion(values);
  const recent = host.release !== '8.4';
  const linux = recent && values['ostype'] === 'l26' && machine.guard(10, 1);
  if (windows >= 6) draft.option('-global', 'kvm-pit.lost_tick_policy=discard');
  if (windows >= 6 || linux) draft.machineSettings.push('hpet=off');
  const drift = values['tdf'] ?? (windows >= 5 && values['acpi'] !== '0' ? '1' : '0');
  if (drift === '1') draft.clockSettings.push('driftfix=slew');
  const { startdate = 'now', localtime = windows >= 5 ? '1' : '0' } = values;
  if (startdate !== 'now') draft.clockSettings.push(`base=${startdate}`);
  else if (localtime === '1') draft.clockSettings.push('base=localtime');
}

/** Adds that the machine does not sleep, which newer ones do not by default. */
export function addPowerStates(draft: Draft): void {
  const settings = draft.settings('machine', 'type');
  const chip = draft.machine.q35 ? 'ICH9-LPC' : 'PIIX4_PM';
  const standard = draft.machine.guard(9, 2, 1) ? '0' : '1';
  for (const state of ['s3', 's4'])
    if ((settings[`enable-${state}`] ?? standard) === '0') draft.option('-global', `${chip}.disable_${state}=1`);
}
