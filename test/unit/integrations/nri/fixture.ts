import type { ExecutionContext } from 'ava';
import { duplexPair } from 'node:stream';
import type { ContainerRecord } from '../../../../src/core/model/container.ts';
import type { Logger } from '../../../../src/core/model/logger.ts';
import type { OciSpec } from '../../../../src/core/model/oci-runtime.ts';
import type { OtherChanges, PluginHost, PluginPod } from '../../../../src/core/model/plugins.ts';
import type { ValidatorRules } from '../../../../src/integrations/nri/default-validator.ts';
import { NriPlugins } from '../../../../src/integrations/nri/nri-plugins.ts';
import { eventually } from '../../../lib/eventually.ts';
import { TestPlugin } from '../../../lib/nri-plugin.ts';
import type { Answers } from '../../../lib/nri-plugin.ts';

const RULES: ValidatorRules = {
  enable: false,
  reject_oci_hook_adjustment: false,
  reject_runtime_default_seccomp_adjustment: false,
  reject_unconfined_seccomp_adjustment: false,
  reject_custom_seccomp_adjustment: false,
  reject_namespace_adjustment: false,
  reject_sysctl_adjustment: false,
  required_plugins: [],
  tolerate_missing_plugins_annotation: '',
};

export const spec = (): OciSpec => ({
  ociVersion: '1.0.2',
  root: { path: '/r', readonly: false },
  process: {
    terminal: false,
    user: { uid: 0, gid: 0 },
    args: ['sh'],
    env: ['PATH=/bin', 'A=1', 'B=2'],
    cwd: '/',
    noNewPrivileges: false,
    rlimits: [{ type: 'RLIMIT_NOFILE', soft: 1024, hard: Infinity }],
  },
  mounts: [
    { destination: '/proc', type: 'proc', source: 'proc', options: [] },
    { destination: '/data', type: 'bind', source: '/x', options: [] },
    { destination: '/etc/hosts', type: 'bind', source: '/y', options: [] },
  ],
  annotations: { kept: 'k', gone: 'g' },
  linux: {
    namespaces: [{ type: 'mount' }, { type: 'ipc', path: '/i' }, { type: 'cgroup' }],
    cgroupsPath: '/pod/c',
    resources: { devices: [{ allow: false, access: 'rwm' }] },
  },
});

export const container = (id = 'c', changes: Partial<ContainerRecord['spec']> = {}): ContainerRecord => ({
  id,
  sandboxId: 'p',
  spec: {
    metadata: { name: `name-${id}`, attempt: 0 },
    labels: {},
    annotations: {},
    image: { name: 'i', asked: 'i:1' },
    command: [],
    args: [],
    env: [],
    workingDir: '',
    mounts: [],
    devices: [],
    cdiDevices: [],
    logPath: '',
    stdin: false,
    stdinOnce: false,
    tty: false,
    pid: 'container',
    security: {
      privileged: false,
      readonlyRootfs: false,
      noNewPrivileges: false,
      user: { supplementalGroups: [], mergeImageGroups: true },
      capabilities: { add: [], addAll: false, drop: [], dropAll: false, ambient: [] },
      seccomp: { type: 'runtime-default' },
      apparmor: { type: 'unconfined' },
      maskedPaths: [],
      readonlyPaths: [],
    },
    resources: {},
    ...changes,
  },
  request: {},
  imageId: 'sha256:1',
  imageRef: 'i',
  phase: 'running',
  logPath: '',
  user: { uid: 0, gid: 0, supplementalGroups: [] },
  stopSignal: 15,
  createdAt: 1n,
  startedAt: 2n,
  finishedAt: 0n,
  exitCode: 0,
  reason: '',
  message: '',
});

export const pod = (annotations: Record<string, string> = {}): PluginPod => ({
  placement: undefined,
  record: {
    id: 'p',
    handler: 'crun',
    phase: 'ready',
    createdAt: 1n,
    bootId: 'b',
    request: {},
    network: { ips: ['10.0.0.2'], networks: [] },
    spec: {
      metadata: { name: 'web', namespace: 'default', uid: 'u', attempt: 0 },
      labels: { app: 'web' },
      annotations,
      hostname: 'web',
      logDirectory: '',
      namespaces: { network: 'pod', ipc: 'pod', pid: 'container' },
      sysctls: {},
      portMappings: [],
      cgroupParent: { asked: '/kubepods', path: '/kubepods' },
    },
  },
});

/** Plugins of a node with what the host was asked to change, and the log. */
export function makePlugins(
  options: {
    rules?: Partial<ValidatorRules>;
    requestTimeoutMs?: number;
    registrationTimeoutMs?: number;
    containers?: ContainerRecord[];
    failing?: string[];
    runtime?: { name: string; version: string };
  } = {},
) {
  const log: string[] = [];
  const write = (message: string, fields?: object) => void log.push(`${message} ${JSON.stringify(fields ?? {})}`);
  const logger: Logger = { debug: write, info: write, warn: write, error: write, with: () => logger };
  const changes: OtherChanges[] = [];
  const host: PluginHost = {
    pods: () => [pod()],
    containers: () =>
      (options.containers ?? [container()]).map((record) => ({ record, spec: () => Promise.resolve(spec()) })),
    change: (wanted) => {
      changes.push(wanted);
      const failed = wanted.updates.filter(({ containerId }) => options.failing?.includes(containerId));
      return Promise.resolve(failed.map(({ containerId }) => containerId));
    },
  };
  const plugins = new NriPlugins({
    registrationTimeoutMs: options.registrationTimeoutMs ?? 300_000,
    requestTimeoutMs: options.requestTimeoutMs ?? 300_000,
    validator: { ...RULES, ...options.rules },
    version: '1',
    ociRuntime: () => Promise.resolve(options.runtime ?? { name: 'crun', version: '1.21' }),
    logger,
  });
  /** Connects a plugin and waits until it is called; `name` such as "10-a". */
  const connect = async (name: string, answers: Answers = {}, configuration?: string) => {
    const [near, far] = duplexPair();
    const known = configuration === undefined ? [] : [{ index: name.slice(0, 2), base: name.slice(3), configuration }];
    const connected = plugins.connect(near, host, ...known);
    const plugin = new TestPlugin(far, answers);
    try {
      await plugin.register(name);
    } catch (error) {
      // It would be waited for: another registration may follow.
      plugin.end();
      await connected;
      throw error;
    }
    await connected;
    return plugin;
  };
  return { plugins, host, log, changes, connect };
}

/** Waits for a line in the log. */
export const logged = (t: ExecutionContext, log: readonly string[], pattern: RegExp) =>
  eventually(String(pattern), () => log.some((line) => pattern.test(line))).then(() => t.pass());
