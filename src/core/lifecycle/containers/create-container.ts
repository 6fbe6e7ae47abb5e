import { mkdir } from 'node:fs/promises';
import { hostname as nodeHostname } from 'node:os';
import { dirname } from 'node:path';
import type { ContainerConfig } from '../../../../api/gen/cri.ts';
import { resolveInRoot } from '../../../host/platform/resolve-in-root.ts';
import { readFileScoped } from '../../../utils/fs/scoped.ts';
import type { Undo } from '../../../utils/async/undo.ts';
import type { ContainerRecord } from '../../model/container.ts';
import { notFound } from '../../model/errors.ts';
import type { ImageRecord } from '../../model/image.ts';
import { applyEdits } from '../oci/apply-edits.ts';
import { cdiDeviceNames } from '../oci/cdi-names.ts';
import { apparmorProfile } from '../oci/apparmor.ts';
import { stopSignal } from '../oci/signals.ts';
import { containerSpec } from '../oci/spec.ts';
import { resolveUser } from '../oci/users.ts';
import type { ReadyPod } from '../pods/pod-service.ts';
import { hostnameOf, namespaceOptions } from '../pods/sandbox-spec.ts';
import type { ContainerServiceOptions } from './container-service.ts';
import type { ContainerStore } from './container-store.ts';
import { findMountedImages, mountImageVolumes, unmountImageVolumes } from './image-volumes.ts';
import { mountTargets } from './mount-targets.ts';
import { targetPidNamespace } from './pid-target.ts';
import { containerLogPath } from './validate.ts';

const USER_FILE_BYTES = 4 * 1024 * 1024;

/**
 * The steps of CreateContainer, each with its undoing registered before it begins: record, root file system, OCI
 * configuration, container.
 * @throws CriError NOT_FOUND for the image, INVALID_ARGUMENT, UNIMPLEMENTED, UNKNOWN with the runtime's own words.
 */
export async function createContainer(
  options: ContainerServiceOptions,
  store: ContainerStore,
  request: { id: string; pod: ReadyPod; config: ContainerConfig },
  undo: Undo,
): Promise<void> {
  const { clock, pidsLimit, rlimits } = options;
  const { id, pod, config } = request;
  const { runner, rootfs, platform } = pod.backend;
  const { facts: host, volumes } = platform;
  const image = findImage(options, config);
  const mounted = findMountedImages(config, (name) => options.images.status(name));
  const pidTarget = await targetPidNamespace(store, runner, pod.record.id, config);
  const edits = await platform.devices.edits(cdiDeviceNames(config));
  const profile = await apparmorProfile(config.linux?.securityContext, platform.apparmor);
  const logPath = containerLogPath(pod.record.config, config);
  const record: ContainerRecord = {
    id,
    sandboxId: pod.record.id,
    config,
    imageId: image.id,
    imageRef: refOf(image),
    ...(mounted.length > 0 && {
      mountedImages: mounted.map((each) => ({
        mount: each.mount,
        imageId: each.image.id,
        imageRef: refOf(each.image),
      })),
    }),
    phase: 'creating',
    logPath,
    user: { uid: 0, gid: 0, supplementalGroups: [] },
    stopSignal: stopSignal(config.stopSignal, image.config.config.StopSignal),
    createdAt: clock.now(),
    startedAt: 0n,
    finishedAt: 0n,
    exitCode: 0,
    reason: '',
    message: '',
  };
  await store.put(record);
  undo.add('remove the root file system', () => rootfs.remove(id));
  const { network, ipc, user: ids } = namespaceOptions(pod.record.config);
  const { path } = await rootfs.prepare(id, image.chainId, { ids });
  const targets = await mountTargets(path, config);
  undo.add('remove the image volumes', () => unmountImageVolumes(rootfs, record));
  const images = await mountImageVolumes(rootfs, { containerId: id, config, ids }, mounted);
  undo.add('remove the volumes', () => volumes.remove(id));
  const declared = await volumes.make(id, path, {
    volumes: image.config.config.Volumes,
    requested: targets,
    owner: ids?.hostId ?? 0,
  });
  const user = resolveUser(config.linux?.securityContext, image.config.config.User, {
    passwd: await userFile(path, '/etc/passwd'),
    group: await userFile(path, '/etc/group'),
  });
  const plain = await containerSpec({
    containerId: id,
    config,
    image: image.config,
    rootfs: path,
    user,
    placement: pod.placement,
    targetPidNamespace: pidTarget,
    mounts: { targets, declared, images },
    apparmorProfile: profile,
    host,
    pidsLimit,
    rlimits,
    pod: {
      files: platform.podDirectories.files(pod.record.id),
      hostname: network === 'node' ? nodeHostname() : hostnameOf(pod.record.config),
      network,
      ipc,
      userNamespace: ids,
      annotations: annotations(pod, config),
    },
  });
  const spec = await applyEdits(plain, edits, (target) => resolveInRoot(path, target, 'config.CDI_devices'));
  if (logPath !== '') await mkdir(dirname(logPath), { recursive: true, mode: 0o755 });
  undo.add('remove the container', () => runner.remove(id));
  await runner.create({
    id,
    spec,
    placement: pod.placement,
    logPath: logPath === '' ? undefined : logPath,
    stdin: config.stdin,
    stdinOnce: config.stdinOnce,
  });
  const { uid, gid, additionalGids: supplementalGroups = [] } = spec.process.user;
  await store.put({ ...record, phase: 'created', user: { uid, gid, supplementalGroups } });
}

function findImage(options: ContainerServiceOptions, config: ContainerConfig): ImageRecord {
  const name = config.image?.image ?? '';
  const image = options.images.status(name);
  if (image === undefined) throw notFound('image', name);
  return image;
}

function refOf(image: ImageRecord): string {
  return image.repoDigests[0] ?? image.id;
}

/** Annotations of the OCI configuration that tools which look at it know from containerd and CRI-O. */
function annotations(pod: ReadyPod, config: ContainerConfig): Record<string, string> {
  return {
    'io.kubernetes.cri.container-type': 'container',
    'io.kubernetes.cri.container-name': config.metadata?.name ?? '',
    'io.kubernetes.cri.sandbox-id': pod.record.id,
    'io.kubernetes.cri.sandbox-name': pod.record.config.metadata?.name ?? '',
    'io.kubernetes.cri.sandbox-namespace': pod.record.config.metadata?.namespace ?? '',
  };
}

async function userFile(rootfs: string, path: string): Promise<string> {
  return (await readFileScoped(rootfs, path, USER_FILE_BYTES))?.toString('utf8') ?? '';
}
