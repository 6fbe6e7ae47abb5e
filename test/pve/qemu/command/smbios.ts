import type { Draft } from './draft.ts';

/** Adds what the guest's firmware says of the machine. */
export function addSmbios(draft: Draft): void {
  const written = draft.values['smbios1'];
  if (written === undefined) return;
  const { base64, ...settings } = draft.settings('smbios1', '');
  if (base64 !== '1' && draft.host.release === '8.4') {
    draft.option('-smbios', `type=1,${written}`);
    return;
  }
  const parts = Object.keys(settings)
    .sort()
    .map((key) => [key, base64 === '1' && key !== 'uuid' ? decoded(settings[key]!) : settings[key]!] as const)
    .filter(([, value]) => value !== '')
    .map(([key, value]) => `,${key}=${value.replaceAll(',', ',,')}`);
  draft.option('-smbios', `type=1${parts.join('')}`);
}

function decoded(text: string): string {
  return Buffer.from(text, 'base64').toString('utf8');
}
