import { existsSync, readFileSync, watch } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ContainerConfig,
  CreateContainerRequest,
  ExecSyncRequest,
  Mount,
  NamespaceMode,
  PodSandboxConfig,
  RunPodSandboxRequest,
  RuntimeServiceService,
  SecurityProfile_ProfileType,
} from '../../api/gen/cri.ts';
import { HANG_MS } from '../lib/eventually.ts';
import type { Contender } from './contender.ts';

/** In the command line of each container that is a workload and not a part of the runtime. */
export const MARK = 'bench-workload';
/** Says a line, and ends on SIGTERM. */
export const WORKLOAD = [
  'sh',
  '-c',
  `trap 'exit 0' TERM; echo started ${MARK}; while :; do sleep 100000 & wait $!; done`,
];
const PATIENT = { timeoutMs: HANG_MS };
let attempts = 0;

export interface PodOptions {
  /** Of the host instead of CNI. */
  isHostNetwork?: boolean;
}

/** A pod as the kubelet asks for it. */
export async function podConfig(
  { directory, cgroup }: Contender,
  name: string,
  { isHostNetwork = false }: PodOptions = {},
): Promise<PodSandboxConfig> {
  attempts += 1;
  const uid = `${name}-${String(attempts)}`;
  // The kubelet makes it before RunPodSandbox.
  const logDirectory = join(directory, 'pod-logs', uid);
  await mkdir(logDirectory, { recursive: true });
  const network = isHostNetwork ? NamespaceMode.NODE : NamespaceMode.POD;
  const namespaceOptions = { network, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.POD };
  const seccomp = { profileType: SecurityProfile_ProfileType.Unconfined };
  return PodSandboxConfig.fromPartial({
    metadata: { name: uid, namespace: 'bench', uid, attempt: 0 },
    hostname: isHostNetwork ? '' : name,
    logDirectory,
    dnsConfig: {
      servers: ['10.96.0.10'],
      searches: ['bench.svc.cluster.local', 'svc.cluster.local'],
      options: ['ndots:5'],
    },
    labels: { 'io.kubernetes.pod.name': uid, 'io.kubernetes.pod.namespace': 'bench', 'io.kubernetes.pod.uid': uid },
    linux: { cgroupParent: `${cgroup}/pods`, securityContext: { namespaceOptions, seccomp } },
  });
}

/** A container as the kubelet asks for it: an environment of services, two files, limits. */
export async function containerConfig(
  { directory, image }: Contender,
  name: string,
  { isHostNetwork = false, command = WORKLOAD }: PodOptions & { command?: string[] } = {},
): Promise<ContainerConfig> {
  const shared = join(directory, 'volumes');
  await mkdir(shared, { recursive: true });
  const mounts = ['secret', 'config'].map((volume) =>
    Mount.fromPartial({ containerPath: `/var/run/${volume}`, hostPath: join(shared, volume), readonly: true }),
  );
  for (const { hostPath } of mounts) await mkdir(hostPath, { recursive: true });
  const network = isHostNetwork ? NamespaceMode.NODE : NamespaceMode.POD;
  return ContainerConfig.fromPartial({
    metadata: { name, attempt: 0 },
    image: { image, userSpecifiedImage: image },
    command,
    envs: Array.from({ length: 20 }, (_, index) => ({
      key: `SERVICE_${String(index)}_PORT`,
      value: Buffer.from(`tcp://10.96.0.${String(index)}:443`),
    })),
    mounts,
    labels: { 'io.kubernetes.container.name': name },
    annotations: { 'io.kubernetes.container.restartCount': '0' },
    logPath: `${name}.log`,
    linux: {
      resources: { cpuShares: 102n, cpuPeriod: 100_000n, memoryLimitInBytes: 256n * 2n ** 20n, oomScoreAdj: 985n },
      securityContext: {
        namespaceOptions: { network, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.POD },
        seccomp: { profileType: SecurityProfile_ProfileType.Unconfined },
        maskedPaths: [
          '/proc/acpi',
          '/proc/kcore',
          '/proc/keys',
          '/proc/latency_stats',
          '/proc/timer_list',
          '/proc/scsi',
        ],
        readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
      },
    },
  });
}

/** Resolves when the log of a container has a whole line. */
async function firstLine(directory: string, file: string): Promise<void> {
  const path = join(directory, file);
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const look = () => {
    if (existsSync(path) && readFileSync(path, 'utf8').includes(MARK)) resolve(undefined);
  };
  const watcher = watch(directory, look);
  const limit = setTimeout(() => {
    reject(new Error(`no line in ${path}`));
  }, HANG_MS);
  try {
    look();
    await promise;
  } finally {
    clearTimeout(limit);
    watcher.close();
  }
}

/** Creates and starts a pod with one container; returns where its log is. */
export async function startPod(contender: Contender, name: string, command = WORKLOAD): Promise<{ log: string }> {
  const { client, handler } = contender;
  const config = await podConfig(contender, name);
  const run = RunPodSandboxRequest.create({ config, runtimeHandler: handler });
  const { podSandboxId } = await client.call(RuntimeServiceService.runPodSandbox, run, PATIENT);
  const container = await containerConfig(contender, 'main', { command });
  const create = CreateContainerRequest.create({ podSandboxId, config: container, sandboxConfig: config });
  const { containerId } = await client.call(RuntimeServiceService.createContainer, create, PATIENT);
  await client.call(RuntimeServiceService.startContainer, { containerId }, PATIENT);
  return { log: join(config.logDirectory, container.logPath) };
}

/** Runs a pod from its start to its removal; `took` gets the milliseconds of each RPC and of the whole. */
export async function live(
  contender: Contender,
  name: string,
  options: PodOptions,
  took: (what: string, ms: number) => void,
): Promise<void> {
  const { client, handler } = contender;
  const timed = async <R>(what: string, work: () => Promise<R>): Promise<R> => {
    const start = performance.now();
    const result = await work();
    took(what, performance.now() - start);
    return result;
  };
  const config = await podConfig(contender, name, options);
  const container = await containerConfig(contender, 'main', options);
  await timed('whole life', async () => {
    const { containerId, podSandboxId } = await timed('first log line', async () => {
      const run = RunPodSandboxRequest.create({ config, runtimeHandler: handler });
      const { podSandboxId } = await timed('RunPodSandbox', () =>
        client.call(RuntimeServiceService.runPodSandbox, run, PATIENT),
      );
      const create = CreateContainerRequest.create({ podSandboxId, config: container, sandboxConfig: config });
      const { containerId } = await timed('CreateContainer', () =>
        client.call(RuntimeServiceService.createContainer, create, PATIENT),
      );
      await timed('StartContainer', () => client.call(RuntimeServiceService.startContainer, { containerId }, PATIENT));
      await firstLine(config.logDirectory, container.logPath);
      return { containerId, podSandboxId };
    });
    const exec = ExecSyncRequest.create({ containerId, cmd: ['true'], timeout: 60n });
    const { exitCode } = await timed('ExecSync', () => client.call(RuntimeServiceService.execSync, exec, PATIENT));
    if (exitCode !== 0) throw new Error(`${contender.name}: "true" exited with ${String(exitCode)}`);
    await timed('StopContainer', () =>
      client.call(RuntimeServiceService.stopContainer, { containerId, timeout: 30n }, PATIENT),
    );
    await timed('RemoveContainer', () => client.call(RuntimeServiceService.removeContainer, { containerId }, PATIENT));
    await timed('StopPodSandbox', () => client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId }, PATIENT));
    await timed('RemovePodSandbox', () =>
      client.call(RuntimeServiceService.removePodSandbox, { podSandboxId }, PATIENT),
    );
  });
}
