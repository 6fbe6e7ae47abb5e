import { createHash } from 'node:crypto';
import type { Logger } from '../../../../core/model/logger.ts';
import { messageOf } from '../../../../utils/errors.ts';
import type { StorageConfig } from '../../../proxmox-api.ts';
import type { ProxmoxNode } from '../../../proxmox-node.ts';
import { placeFile } from './place-file.ts';

/**
 * Called with the VMID and a phase. The LXC hook refuses a second start as well (src/native/hook.c), but Proxmox does not show
 * what that prints. The permit lies beside the file that the guest's configuration includes.
 */
const SCRIPT = `#!/bin/sh
# proxmox-lxcri: says in the task's log why the guest of a Kubernetes pod is not started again.
[ "$2" = pre-start ] || exit 0
included=$(sed -n '/^\\[/q; s|^lxc.include: \\(/.*/\\)include.conf$|\\1|p' /etc/pve/nodes/*/lxc/"$1".conf)
[ -n "$included" ] && [ -e "\${included}permit" ] && exit 0
echo "CT $1 is a Kubernetes pod that has ended, or a copy of one; the kubelet runs the pod in a new guest. Remove this one." >&2
exit 1
`;
/** Name of the file, which says its content. */
export const HOOKSCRIPT = `proxmox-lxcri-pod_${createHash('sha256').update(SCRIPT).digest('hex').slice(0, 12)}.sh`;

/**
 * Places the hookscript of pods' guests, once for each version of it: on the storage of templates, or else on the first one
 * for snippets that the node has.
 * @returns its volume; undefined where there is no such storage, or none that can be written: such guests have no hookscript.
 */
export async function placeHookscript(
  configs: readonly StorageConfig[],
  { name, templateStorage }: Pick<ProxmoxNode, 'name' | 'templateStorage'>,
  logger: Logger,
): Promise<string | undefined> {
  const fit = configs.filter(
    ({ content, path, nodes = [], disable = false }) =>
      path !== undefined && content.includes('snippets') && !disable && (nodes.length === 0 || nodes.includes(name)),
  );
  const chosen = fit.find(({ storage }) => storage === templateStorage) ?? fit[0];
  if (chosen?.path === undefined) return undefined;
  try {
    await placeFile(`${chosen.path}/snippets/${HOOKSCRIPT}`, SCRIPT, 0o755);
    return `${chosen.storage}:snippets/${HOOKSCRIPT}`;
  } catch (error) {
    logger.warn('Guests have no hookscript', { storage: chosen.storage, error: messageOf(error) });
    return undefined;
  }
}
