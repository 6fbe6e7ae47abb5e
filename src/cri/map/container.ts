import { Container, ContainerState, ContainerStatus } from '../../../api/gen/cri.ts';
import type { ContainerFilter, ContainerStatsFilter } from '../../../api/gen/cri.ts';
import type { ContainerPhase, ContainerRecord } from '../../core/model/container.ts';
import { defined } from '../../utils/object.ts';
import { matchesLabels } from './filter.ts';
import { askedOfContainer } from './request.ts';
import { toLinuxResources } from './resources.ts';
import { criSignal } from './signals.ts';

const STATE: Record<ContainerPhase, ContainerState> = {
  creating: ContainerState.CONTAINER_UNKNOWN,
  created: ContainerState.CONTAINER_CREATED,
  starting: ContainerState.CONTAINER_CREATED,
  running: ContainerState.CONTAINER_RUNNING,
  exited: ContainerState.CONTAINER_EXITED,
};

/** The record in ListContainers. */
export function toContainer(record: ContainerRecord): Container {
  const { metadata, labels, annotations } = record.spec;
  const { image } = askedOfContainer(record.request);
  return Container.create({
    id: record.id,
    podSandboxId: record.sandboxId,
    metadata,
    ...defined({ image }),
    imageRef: record.imageRef,
    imageId: record.imageId,
    state: STATE[record.phase],
    createdAt: record.createdAt,
    labels,
    annotations,
  });
}

/**
 * The record in ContainerStatus.
 * @param imageName a readable name of the image.
 */
export function toContainerStatus(record: ContainerRecord, imageName: string): ContainerStatus {
  const { metadata, labels, annotations, resources } = record.spec;
  const { image, mounts } = askedOfContainer(record.request);
  const { uid, gid, supplementalGroups } = record.user;
  return ContainerStatus.create({
    id: record.id,
    metadata,
    state: STATE[record.phase],
    createdAt: record.createdAt,
    startedAt: record.phase === 'created' || record.phase === 'starting' ? 0n : record.startedAt,
    finishedAt: record.finishedAt,
    exitCode: record.exitCode,
    image: { ...image, image: imageName },
    imageRef: record.imageRef,
    imageId: record.imageId,
    reason: record.reason,
    message: record.message,
    labels,
    annotations,
    mounts: mounts.map((mount, index) => {
      const mounted = record.mountedImages?.find((one) => one.mount === index);
      if (mounted === undefined || mount.image === undefined) return mount;
      return { ...mount, image: { ...mount.image, imageRef: mounted.imageId } };
    }),
    logPath: record.logPath,
    ...(Object.keys(resources).length > 0 && { resources: { linux: toLinuxResources(resources) } }),
    user: { linux: { uid: BigInt(uid), gid: BigInt(gid), supplementalGroups: supplementalGroups.map(BigInt) } },
    stopSignal: criSignal(record.stopSignal),
  });
}

/** Whether ListContainers returns a record: all conditions must match; ids may be prefixes. */
export function matchesContainer(record: ContainerRecord, filter: ContainerFilter | undefined): boolean {
  if (filter === undefined) return true;
  return matchesStats(record, filter) && (filter.state === undefined || filter.state.state === STATE[record.phase]);
}

/** The same for ListContainerStats, which has no state filter. */
export function matchesStats(record: ContainerRecord, filter: ContainerStatsFilter | undefined): boolean {
  if (filter === undefined) return true;
  return (
    record.id.startsWith(filter.id) &&
    record.sandboxId.startsWith(filter.podSandboxId) &&
    matchesLabels(record.spec.labels, filter.labelSelector)
  );
}
