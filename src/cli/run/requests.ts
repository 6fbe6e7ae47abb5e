import { readFile } from 'node:fs/promises';
import {
  ContainerConfig,
  LinuxContainerResources,
  Mount,
  NamespaceMode,
  NamespaceOption,
  PodSandboxConfig,
} from '../../../api/gen/cri.ts';
import { type Input, UsageError } from '../command.ts';
import { byteCount, cpuCount, keyValue, mountValue } from '../values.ts';
import { securityContext } from './security.ts';

/** Label by which `run` finds its pod, also when RunPodSandbox returned no response. */
export const RUN_LABEL = 'proxmox-lxcri/run';
/** Name of the log file in the pod's log directory. */
export const LOG_FILE = 'container.log';

/** Name prefix of log directories; `run` removes no others. */
export const LOG_DIRECTORY_PREFIX = 'proxmox-lxcri-run-';

const CPU_PERIOD = 100_000;

/** The requests of `run`, from its command line. */
export interface RunRequests {
  image: string;
  handler: string;
  /** Identifies this run: the pod's uid and its RUN_LABEL. */
  uid: string;
  pod: PodSandboxConfig;
  container: ContainerConfig;
}

/** `logDirectory` is a directory on the server's host. @throws UsageError for an invalid option. */
export async function runRequests(input: Input, uid: string, logDirectory: string): Promise<RunRequests> {
  const [image = '', ...command] = input.args;
  const name = input.text('name') ?? `run-${uid.slice(0, 8)}`;
  const labels = {
    ...Object.fromEntries(input.list('label').map((text) => keyValue('label', text))),
    [RUN_LABEL]: uid,
  };
  const namespaceOptions = NamespaceOption.create({
    network: input.has('host-network') ? NamespaceMode.NODE : NamespaceMode.POD,
    pid: NamespaceMode.CONTAINER,
    ipc: NamespaceMode.POD,
  });
  const security = await securityContext(input);
  const pod = PodSandboxConfig.create({
    metadata: { name, uid, namespace: 'default', attempt: 0 },
    // CRI: a pod in the node's network shares its host name.
    hostname: input.has('host-network') ? '' : (input.text('hostname') ?? name),
    logDirectory,
    labels,
    linux: { securityContext: { namespaceOptions, privileged: security.privileged, seccomp: security.seccomp } },
  });
  const container = ContainerConfig.create({
    metadata: { name, attempt: 0 },
    image: { image, userSpecifiedImage: image },
    args: command,
    workingDir: input.text('workdir') ?? '',
    envs: await environment(input),
    mounts: input.list('mount').map(mountOf),
    labels,
    logPath: LOG_FILE,
    stdin: input.has('interactive'),
    stdinOnce: input.has('interactive') && !input.has('detach'),
    tty: input.has('tty'),
    linux: { resources: resources(input), securityContext: { ...security, namespaceOptions } },
  });
  return { image, handler: input.text('handler') ?? '', uid, pod, container };
}

function mountOf(text: string): Mount {
  const { source, destination, readonly } = mountValue('mount', text);
  return Mount.create({ hostPath: source, containerPath: destination, readonly });
}

function resources(input: Input): LinuxContainerResources {
  const result = LinuxContainerResources.create();
  const memory = input.text('memory');
  if (memory !== undefined) result.memoryLimitInBytes = byteCount('memory', memory);
  const cpus = input.text('cpus');
  if (cpus !== undefined) {
    const count = cpuCount('cpus', cpus);
    result.cpuPeriod = BigInt(CPU_PERIOD);
    result.cpuQuota = BigInt(Math.round(count * CPU_PERIOD));
    result.cpuShares = BigInt(Math.max(2, Math.round(count * 1024)));
  }
  return result;
}

/** Files first, then `--env`; later values override earlier ones. */
async function environment(input: Input): Promise<{ key: string; value: Buffer }[]> {
  const variables = new Map<string, string>();
  for (const path of input.list('env-file')) {
    for (const line of await linesOf(path)) variables.set(...keyValue('env-file', line));
  }
  for (const text of input.list('env')) variables.set(...keyValue('env', text));
  return Array.from(variables, ([key, value]) => ({ key, value: Buffer.from(value) }));
}

async function linesOf(path: string): Promise<string[]> {
  try {
    const text = await readFile(path, 'utf8');
    return text.split(/\r?\n/).filter((line) => line.trim() !== '' && !line.startsWith('#'));
  } catch (error) {
    throw new UsageError(`--env-file: ${error instanceof Error ? error.message : String(error)}`);
  }
}
