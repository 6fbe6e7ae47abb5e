import { dirname } from 'node:path';
import type { Rollback } from '../../../utils/async/rollback.ts';
import type { ContainerRecord } from '../../model/container.ts';
import type { ContainerSpec } from '../../model/container-spec.ts';
import { notFound, unimplemented } from '../../model/errors.ts';
import type { ImageRecord } from '../../model/image.ts';
import type { OciSpec } from '../../model/oci-runtime.ts';
import type { Plugins } from '../../model/plugins.ts';
import { imageStopSignal } from '../oci/signals.ts';
import { ociSpec } from '../oci/spec.ts';
import { userFiles } from '../oci/user-files.ts';
import { resolveUser } from '../oci/users.ts';
import type { ReadyPod } from '../pods/pod-service.ts';
import { mountRootfs, placeOf, removeRootfs } from '../rootfs-place.ts';
import { makeDeclaredVolumes, removeVolumes } from '../volumes/container-volumes.ts';
import { placeEmptyDirs } from '../volumes/pod-volumes.ts';
import { volumePlace } from '../volumes/volume-place.ts';
import { volumeQuotas } from '../volumes/volume-quotas.ts';
import { prepareAdjusters } from './adjusters.ts';
import type { ContainerPlugins } from './container-plugins.ts';
import type { ContainerServiceOptions } from './container-service.ts';
import type { ContainerStore } from './container-store.ts';
import { findMountedImages, mountImageVolumes, removeImageVolumes } from './image-volumes.ts';
import { mountTargets } from './mount-targets.ts';
import { targetPidNamespace } from './pid-target.ts';
import { rootfsLimits } from './rootfs-limits.ts';
import { containerLogPath } from './log-path.ts';

/**
 * The steps of CreateContainer, each with its rollback registered before it begins: record, root filesystem, OCI
 * configuration, container.
 * @throws CriError NOT_FOUND for the image, INVALID_ARGUMENT, UNIMPLEMENTED, UNKNOWN with the runtime's message; the signal's
 *   reason.
 */
export async function createContainer(
  options: ContainerServiceOptions,
  store: ContainerStore,
  changes: ContainerPlugins,
  wanted: { id: string; pod: ReadyPod; spec: ContainerSpec; request: unknown; signal: AbortSignal | undefined },
  rollback: Rollback,
): Promise<void> {
  const { clock, logger, pidsLimit, plugins, rlimits, absentMountSourcesToReject } = options;
  const { id, pod, spec: asked, request, signal } = wanted;
  const { runner, platform } = pod.backend;
  const rootfs = placeOf(pod.backend);
  const { facts: host, files } = platform;
  const volumes = volumePlace(rootfs.store, platform);
  if (asked.security.selinux !== undefined && host.selinux)
    throw unimplemented('config.linux.security_context.selinux_options: SELinux');
  const annotated = { pod: pod.record.spec.annotations, container: asked.annotations, name: asked.metadata.name };
  const policy = pod.backend.limits ?? { defaults: {}, largest: {} };
  const limits = rootfsLimits(annotated, policy, rootfs.store);
  const quotas = volumeQuotas(annotated, policy.largest, rootfs.store);
  const image = findImage(options, asked.image.name);
  const mounted = findMountedImages(asked.mounts, (name) => options.images.status(name));
  const pidTarget = await targetPidNamespace(store, runner, pod.record.id, asked.pid);
  const logPath = containerLogPath(pod.record.spec.logDirectory, asked.logPath);
  const record: ContainerRecord = {
    id,
    sandboxId: pod.record.id,
    spec: asked,
    request,
    imageId: image.id,
    imageRef: refOf(image),
    rootfsStore: rootfs.store.name,
    ...(mounted.length > 0 && {
      mountedImages: mounted.map((each) => ({
        mount: each.mount,
        imageId: each.image.id,
      })),
    }),
    phase: 'creating',
    logPath,
    user: { uid: 0, gid: 0, supplementalGroups: [] },
    stopSignal: asked.stopSignal ?? imageStopSignal(image.config.config.StopSignal),
    createdAt: clock.now(),
    startedAt: 0n,
    finishedAt: 0n,
    exitCode: 0,
    reason: '',
    message: '',
  };
  const adjust = await prepareAdjusters(record, pod);
  // What a reboot leaves of a container without a record is an orphan; a guest has more that is its own.
  await (pod.backend.sandboxes.release === undefined ? store.draft(record) : store.put(record));
  rollback.add('remove the root filesystem', () => removeRootfs(rootfs, id));
  const { hostname, namespaces } = pod.record.spec;
  const { network, ipc, user: ids } = namespaces;
  const { name, namespace } = pod.record.spec.metadata;
  const owner = {
    pod: `${namespace}/${name}`,
    image: asked.image.asked || asked.image.name,
    guest: pod.placement.guest,
  };
  const path = await mountRootfs(rootfs, id, image.chainId, { ids, limits, owner, signal });
  const targets = await mountTargets(files, path, asked.mounts);
  rollback.add('remove the image volumes', () => removeImageVolumes(rootfs, record));
  const images = await mountImageVolumes({ rootfs, files }, { containerId: id, ids, signal }, mounted);
  rollback.add('remove the volumes', () => removeVolumes(volumes, record));
  const declared = await makeDeclaredVolumes(volumes, id, path, {
    volumes: image.config.config.Volumes,
    requested: targets,
    owner: ids?.hostId ?? 0,
    pod: owner.pod,
    quotas,
    defaultQuota: limits.quotaBytes,
    signal,
  });
  const { metadata } = pod.record.spec;
  const placing = { containerId: id, pod: metadata, mounts: asked.mounts, quotas, signal };
  const mounts = await placeEmptyDirs(volumes, files, logger, placing);
  const user = resolveUser(asked.security.user, image.config.config.User, await userFiles(files, path));
  const plain = await ociSpec(files, {
    containerId: id,
    asked: { ...asked, mounts },
    image: image.config,
    rootfs: path,
    user,
    placement: pod.placement,
    targetPidNamespace: pidTarget,
    mounts: { targets, declared, images, absentSourcesToReject: absentMountSourcesToReject },
    host,
    pidsLimit,
    rlimits,
    pod: {
      files: platform.podDirectories.files(pod.record.id),
      hostname: network === 'node' ? host.hostname : hostname,
      network,
      ipc,
      userNamespace: ids,
      annotations: annotations(pod, asked),
    },
  });
  if (logPath !== '') await files.makeDirectory(dirname(logPath));
  const resolve = (target: string) => files.resolveInRoot(path, target, 'config.CDI_devices');
  const { made, spec, others } = await plugins.amid(async () => {
    if (!plugins.isIdle) rollback.add('tell plugins of its removal', () => forget(plugins, pod, record, plain));
    const start = { record, spec: plain, others: { updates: [], evictions: [] } };
    const adjusted = await adjust(start, { pod, plugins, resolve });
    rollback.add('remove the container', () => runner.remove(id));
    signal?.throwIfAborted();
    const { stdin, stdinOnce } = asked;
    const log = logPath === '' ? undefined : logPath;
    const { placement } = pod;
    await runner.create({ id, spec: adjusted.spec, placement, logPath: log, stdin, stdinOnce }, signal);
    const { uid, gid, additionalGids: supplementalGroups = [] } = adjusted.spec.process.user;
    const user = { uid, gid, supplementalGroups };
    const created: ContainerRecord = { ...adjusted.record, phase: 'created', user };
    await store.put(created);
    return { ...adjusted, made: created };
  });
  await changes.apply(others);
  if (!plugins.isIdle) await plugins.containerCreated(pod, { record: made, spec: () => Promise.resolve(spec) });
}

/** Tells plugins of the end of a container that was not created after all. */
async function forget(plugins: Plugins, pod: ReadyPod, record: ContainerRecord, plain: OciSpec): Promise<void> {
  const container = { record, spec: () => Promise.resolve(plain) };
  await plugins.containerStopped(pod, container);
  await plugins.containerRemoved(pod, container);
}

function findImage(options: ContainerServiceOptions, name: string): ImageRecord {
  const image = options.images.status(name);
  if (image === undefined) throw notFound('image', name);
  return image;
}

function refOf(image: ImageRecord): string {
  return image.repoDigests[0] ?? image.id;
}

/** Annotations of the OCI configuration that tools know from containerd and CRI-O. */
function annotations(pod: ReadyPod, { metadata }: ContainerSpec): Record<string, string> {
  return {
    'io.kubernetes.cri.container-type': 'container',
    'io.kubernetes.cri.container-name': metadata.name,
    'io.kubernetes.cri.sandbox-id': pod.record.id,
    'io.kubernetes.cri.sandbox-name': pod.record.spec.metadata.name,
    'io.kubernetes.cri.sandbox-namespace': pod.record.spec.metadata.namespace,
  };
}
