import type { ContainerEviction, ContainerUpdate } from '../../../api/gen/nri.ts';
import type { OtherChanges } from '../../core/model/plugins.ts';
import { fromLinuxResources } from './map/resources.ts';

/**
 * What a plugin wants to change about containers that exist.
 * @throws CriError UNIMPLEMENTED, INVALID_ARGUMENT naming the plugin, for limits that this server does not have.
 */
export function toChanges(
  plugin: string,
  { update, evict }: { update: readonly ContainerUpdate[]; evict: readonly ContainerEviction[] },
): OtherChanges {
  return {
    updates: update.map(({ containerId, linux, ignoreFailure }) => ({
      containerId,
      limits: fromLinuxResources(linux?.resources, `NRI plugin ${plugin}: update.linux.resources`),
      ignoreFailure,
    })),
    evictions: evict.map(({ containerId, reason }) => ({ containerId, reason: `${plugin}: ${reason}` })),
  };
}
