import type { Rollback } from '../../../utils/async/rollback.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import { attachNetwork, claimNetwork } from './attach-network.ts';
import type { PodStore } from './pod-store.ts';
import { startSandbox } from './start-sandbox.ts';

/** Kubernetes' size of a pod's /dev/shm. */
const SHM_BYTES = 64 * 1024 * 1024;

/**
 * The steps of RunPodSandbox, each with its rollback registered first: record, directory, sandbox, network, files, plugins.
 * @param asked its record, in phase `creating`; `ready` is written last, and only while `signal` has not fired.
 * @throws CriError as the provider and the network do; any error once the signal has fired.
 */
export async function createPod(
  store: PodStore,
  asked: SandboxRecord,
  rollback: Rollback,
  signal: AbortSignal | undefined,
): Promise<void> {
  const backend = store.backend(asked.handler);
  const { sandboxes: provider, network, platform } = backend;
  const directories = platform.podDirectories;
  const record = await claimNetwork(backend, asked, rollback);
  const { spec } = store.reference(record);
  // A pod that ends with the boot has nothing outside of it until it is attached to its network.
  const keep = (half: SandboxRecord) =>
    provider.release === undefined ? store.records.draft(half) : store.records.put(half);
  await keep(record);
  rollback.add('remove its directory', () => directories.remove(record.id));
  await directories.make(record.id);
  const reference = (half: SandboxRecord) => store.reference(half);
  const { record: made, placement } = await startSandbox(provider, record, { reference, keep, signal }, rollback);
  const put = (half: SandboxRecord) => store.records.put(half);
  const attaching =
    spec.network === 'pod'
      ? attachNetwork(network, { record: made, placement }, put, rollback, signal)
      : Promise.resolve(undefined);
  const ips = attaching.then((attached) => attached?.ips ?? []);
  // Reported as the failure of the attachment.
  ips.catch(() => undefined);
  rollback.add('unmount its files', () => directories.unmountFiles(record.id));
  // Beside the network's plugins, which take most of the time.
  const writing = directories.writeFiles(record.id, {
    dns: record.spec.dns,
    hostname: spec.hostname,
    ips,
    hostNetwork: spec.network === 'node',
    owner: spec.userNamespace?.hostId ?? 0,
    shmBytes: spec.ipc === 'pod' ? SHM_BYTES : undefined,
  });
  // Both have ended before anything is rolled back; without a network there are no files.
  await Promise.allSettled([attaching, writing]);
  const attachment = await attaching;
  await writing;
  const ready: SandboxRecord = { ...made, phase: 'ready', ...(attachment !== undefined && { network: attachment }) };
  const { plugins } = store;
  await plugins.amid(async () => {
    if (!plugins.isIdle) {
      const pod = { record: ready, placement };
      rollback.add('tell plugins of its removal', () => plugins.podRemoved(pod));
      await plugins.runPod(pod);
    }
    signal?.throwIfAborted();
    await store.records.put(ready);
  });
  if (attachment !== undefined) network.pool?.forget(attachment);
}
