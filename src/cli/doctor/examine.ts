import type { Config } from '../../core/config/schema.ts';
import type { CliContext } from '../command.ts';
import { checkAppArmor } from './apparmor.ts';
import { checkBfcFiles } from './bfc-files.ts';
import { checkCgroupDriver } from './cgroup-driver.ts';
import type { Finding } from '../../core/model/finding.ts';
import { checkKernel } from './kernel.ts';
import { checkMonitorSockets } from './monitor-sockets.ts';
import { checkNetwork } from './network.ts';
import { checkPlaces } from './places.ts';
import { checkPrograms } from './programs.ts';
import { planRecovery } from './recovery.ts';
import type { Step } from './recovery.ts';
import { checkUserNamespaces } from './user-namespaces.ts';

/** Checks the machine, the Proxmox cluster of the configuration, and the server's data without changing them. `recovery` is undefined while a server runs. */
export async function examine(
  config: Config,
  { examineProxmox, examineRootfs }: Pick<CliContext, 'examineProxmox' | 'examineRootfs'>,
): Promise<{ findings: Finding[]; recovery: Step[] | undefined }> {
  const parts = await Promise.all([
    checkPrograms(config),
    checkKernel(),
    checkCgroupDriver(config),
    checkNetwork(config),
    checkPlaces(config),
    checkBfcFiles(config),
    checkUserNamespaces(config),
    checkAppArmor(),
    checkMonitorSockets(),
    examineProxmox(config),
    examineRootfs(config),
  ]);
  return { findings: parts.flat(), recovery: await planRecovery(config) };
}
