import { manualPage, manualSection, manualTerm, roffText } from '../../utils/roff.ts';
import { type OutlineKey, configOutline } from './outline.ts';
import { DEFAULT_CONFIG_FILE } from './sources.ts';
import { tomlValue } from './toml-value.ts';

/** The manual page proxmox-lxcri.toml(5), from the schema. @param about the date and version at its edges. */
export function configurationManual(about: { date: string; version: string }): string {
  return manualPage({ name: 'proxmox-lxcri.toml', section: 5, ...about }, [
    manualSection(
      'NAME',
      roffText('proxmox-lxcri.toml') + ' \\- configuration of the container runtime proxmox\\-lxcri',
    ),
    manualSection(
      'DESCRIPTION',
      roffText(
        `The server reads ${DEFAULT_CONFIG_FILE}, then every conf.d/*.toml beside it in the order of their names. Later values ` +
          'override earlier ones: tables are merged key by key, lists and single values are replaced. Unknown keys are refused.',
      ),
    ),
    '.SH KEYS',
    ...configOutline().map(({ name, description, keys }) =>
      [
        `.SS ${name === '' ? 'Top level' : roffText(`[${name}]`)}`,
        ...(description === '' ? [] : [roffText(`${description}.`)]),
        ...keys.map(keyPart),
      ].join('\n'),
    ),
    manualSection('SEE ALSO', roffText('proxmox-lxcri(1)')),
  ]);
}

function keyPart({ name, description, type, default: standard, entries = [] }: OutlineKey): string {
  const parts = entries.map((entry) => `\n${entry.name} (${entry.type}): ${entry.description}.`).join('');
  return manualTerm(name, `${description}. Type: ${type}; default: ${tomlValue(standard)}.${parts}`);
}
