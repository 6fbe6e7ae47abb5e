// Generates what the Debian package takes from definitions: `node src/generate-package.ts DIRECTORY VERSION`, in the date of SOURCE_DATE_EPOCH.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { vmidRanges } from './backends/proxmox/guests/vmid-ranges.ts';
import { handlers } from './backends/registry.ts';
import { completionScript } from './cli/completion/index.ts';
import { modulesLoadConf, sysctlConf } from './cli/setup/kernel-settings.ts';
import { cliManual } from './cli/manual.ts';
import { COMMANDS } from './cli/registry.ts';
import { declareHandlers } from './core/config/handlers.ts';
import { configurationManual } from './core/config/manual.ts';
import { packageRelations } from './core/config/package-relations.ts';
import { defaultConfigToml } from './core/config/render.ts';
import { declareVmidRanges } from './core/config/vmid-ranges.ts';

const [directory = '', version = ''] = process.argv.slice(2);
const date = new Date(Number(process.env['SOURCE_DATE_EPOCH']) * 1000).toISOString().slice(0, 10);
declareHandlers(handlers);
declareVmidRanges(vmidRanges);
const files = {
  'proxmox-lxcri.1': cliManual({ date, version }),
  'proxmox-lxcri.toml.5': configurationManual({ date, version }),
  'completion.bash': completionScript('bash', COMMANDS),
  'completion.zsh': completionScript('zsh', COMMANDS),
  'completion.fish': completionScript('fish', COMMANDS),
  'config.toml': defaultConfigToml(),
  'modules-load.conf': modulesLoadConf(),
  'sysctl.conf': sysctlConf(),
  relations: packageRelations(),
};
await mkdir(directory, { recursive: true });
for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), content);
