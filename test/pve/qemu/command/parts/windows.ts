import type { Draft } from '../draft.ts';

const VERSIONS: Readonly<Record<string, number>> = {
  wxp: 5,
  w2k3: 5,
  w2k: 5,
  w2k8: 6,
  wvista: 6,
  win7: 7,
  win8: 8,
  win10: 10,
  win11: 11,
};

/** The version of Windows that a configuration's `ostype` says; 0 for another system. */
export function windowsVersion({ ostype = 'other' }: Readonly<Record<string, string>>): number {
  return VERSIONS[ostype] ?? 0;
}

/** The flags with which the kernel helps Windows: name, and value where it has one. */
export function hyperV(draft: Draft, vendor: string | undefined): [name: string, value?: string][] {
  const windows = windowsVersion(draft.values);
  if (!draft.kvm || windows < 6 || (draft.values['bios'] === 'ovmf' && windows < 8)) return [];
  const always: [string, string?][] = [
    ['hv_spinlocks', '0x1fff'],
    ...['hv_vapic', 'hv_time', 'hv_reset', 'hv_vpindex', 'hv_runtime'].map((name): [string] => [name]),
  ];
  const seven = ['hv_relaxed', 'hv_synic', 'hv_stimer', 'hv_ipi'].map((name): [string] => [name]);
  return [
    ...always,
    ...(windows >= 7 ? seven : []),
    ...(vendor === undefined ? [] : [['hv_vendor_id', vendor] as [string, string]]),
  ];
}
