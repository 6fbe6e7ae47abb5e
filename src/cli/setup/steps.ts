import { dirname, join } from 'node:path';
import { checkConfig, loadConfig } from '../../core/config/load.ts';
import { listDropIns, parseConfig, readConfigFile } from '../../core/config/read-file.ts';
import { defaultConfigToml } from '../../core/config/render.ts';
import type { Config } from '../../core/config/schema.ts';
import type { ProxmoxGrants } from '../command.ts';
import { accessSteps } from './access-steps.ts';
import { configStep, fileStep } from './file-steps.ts';
import { kernelSteps } from './kernel-steps.ts';
import { type ProxmoxNode, describeCgroups, detectProxmox } from './node.ts';
import { settingsOf } from './settings.ts';
import type { Outcome, Step } from './step.ts';

/** What setup does on this machine. */
export interface Plan {
  found: Outcome[];
  steps: Step[];
  /** The configuration afterwards. */
  config: Config;
}

/** Looks at the machine, and changes nothing. @param storage see {@link settingsOf}, whose errors it throws, and ConfigError. */
export async function planSetup(
  file: string,
  storage: string | undefined,
  proxmoxGrants: ProxmoxGrants,
): Promise<Plan> {
  const node = await detectProxmox();
  const hasFile = (await readConfigFile(file)) !== undefined;
  // A file that is there needs no default for the storage.
  const values =
    node === undefined
      ? new Map<string, unknown>()
      : settingsOf(node, file, storage ?? node.zfs ?? (hasFile ? 'local-zfs' : undefined));
  const text = defaultConfigToml(values);
  const config = hasFile ? (await loadConfig({ file })).config : await configWith(file, text);
  const { listen } = config.grpc;
  const access =
    node === undefined || config.proxmox.hosts.length === 0
      ? []
      : accessSteps(config, await proxmoxGrants(config, node.version));
  return {
    found: [
      { step: 'Proxmox VE', outcome: 'found', text: describe(node) },
      { step: 'cgroup driver', outcome: 'found', text: await describeCgroups() },
    ],
    steps: [
      configStep(file, text, values),
      ...access,
      ...kernelSteps(),
      fileStep('/etc/crictl.yaml', `runtime-endpoint: ${listen}\nimage-endpoint: ${listen}\n`),
    ],
    config,
  };
}

function describe(node: ProxmoxNode | undefined): string {
  if (node === undefined) return 'not installed';
  const cluster = node.cluster === undefined ? 'no cluster' : `cluster ${node.cluster}`;
  const zfs = node.zfs === undefined ? 'no storage of ZFS' : `ZFS storage ${node.zfs}`;
  return `${node.version}, node ${node.name}, ${cluster}, ${zfs}`;
}

/** The configuration when `file` has this text: the drop-ins beside it apply as well. */
async function configWith(file: string, text: string): Promise<Config> {
  const sources = [{ name: file, ...parseConfig(file, Buffer.from(text)) }];
  for (const path of await listDropIns(join(dirname(file), 'conf.d'))) {
    const dropIn = await readConfigFile(path);
    if (dropIn !== undefined) sources.push({ name: path, text: dropIn.text, table: dropIn.table });
  }
  return checkConfig(sources);
}
