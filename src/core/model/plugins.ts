import type { ContainerRecord } from './container.ts';
import type { OciSpec } from './oci-runtime.ts';
import type { ResourceLimits } from './resources.ts';
import type { SandboxRecord } from './sandbox.ts';
import type { Placement } from './sandbox-provider.ts';

/** A pod as plugins are told of it. */
export interface PluginPod {
  record: SandboxRecord;
  /** Where its containers are; undefined when it does not run. */
  placement: Placement | undefined;
}

/** A container as plugins are told of it. */
export interface PluginContainer {
  record: ContainerRecord;
  /** Its OCI configuration; undefined when the runner has none any more. Read only when there is a plugin. */
  spec: () => Promise<OciSpec | undefined>;
}

/** New limits of a container that exists. */
export interface LimitsChange {
  containerId: string;
  limits: ResourceLimits;
  /** Whether a failure is logged only. */
  ignoreFailure: boolean;
}

/** What plugins change about other containers than the one that they were asked about. */
export interface OtherChanges {
  updates: LimitsChange[];
  /** Containers to stop, with the reason for people. */
  evictions: { containerId: string; reason: string }[];
}

/** What plugins change about a container that is being created. */
export interface ContainerChange extends OtherChanges {
  /** The configuration with the changes, but for the limits and the CDI devices. */
  spec: OciSpec;
  /** The changed limits. */
  limits: ResourceLimits;
  /** CDI devices to add. */
  cdiDevices: string[];
  /** Who asked for them, for errors. */
  of: string;
}

/** New limits of a pod, as requested. */
export interface PodUpdate {
  overhead?: ResourceLimits;
  resources?: ResourceLimits;
}

/**
 * Plugins of the node, which are told of pods and containers and may change them. A call returns when all plugins have answered, in
 * the order of the plugins; calls are made one after the other. A plugin that does not answer in time is disconnected, and
 * counts as one that accepts.
 */
export interface Plugins {
  /** Whether nobody has to be told. Then the other calls return at once and need not be made. */
  readonly isIdle: boolean;

  /**
   * Runs a change of a pod or container together with the calls about it: no plugin is given the state of the node amid it. Not to
   * be nested.
   */
  amid<T>(change: () => Promise<T>): Promise<T>;

  /** A pod is ready to be shown. @throws CriError when a plugin refuses it. */
  runPod(pod: PluginPod): Promise<void>;
  /** @throws CriError when a plugin refuses the update. */
  updatePod(pod: PluginPod, update: PodUpdate): Promise<void>;
  podUpdated(pod: PluginPod): Promise<void>;
  /** The pod's containers have ended; its network is still there. */
  podStopped(pod: PluginPod): Promise<void>;
  podRemoved(pod: PluginPod): Promise<void>;

  /** @throws CriError when a plugin refuses the container, and when plugins want what is not possible. */
  createContainer(pod: PluginPod, container: ContainerRecord, spec: OciSpec): Promise<ContainerChange>;
  containerCreated(pod: PluginPod, container: PluginContainer): Promise<void>;
  /** @throws CriError when a plugin refuses the start. */
  startContainer(pod: PluginPod, container: PluginContainer): Promise<void>;
  containerStarted(pod: PluginPod, container: PluginContainer): Promise<void>;
  /** @returns the limits to set, and other changes. @throws CriError when a plugin refuses them. */
  updateContainer(
    pod: PluginPod,
    container: PluginContainer,
    limits: ResourceLimits,
  ): Promise<OtherChanges & { limits: ResourceLimits }>;
  containerUpdated(pod: PluginPod, container: PluginContainer): Promise<void>;
  containerStopped(pod: PluginPod, container: PluginContainer): Promise<OtherChanges>;
  containerRemoved(pod: PluginPod, container: PluginContainer): Promise<void>;
}

/** What plugins see and change of the node at any time. */
export interface PluginHost {
  /** Pods whose RunPodSandbox has finished. */
  pods(): PluginPod[];
  /** Containers that are created or running. */
  containers(): PluginContainer[];
  /** Does what a plugin asks for. @returns ids of containers whose update failed, and counts. */
  change(changes: OtherChanges): Promise<string[]>;
}

const NOTHING: OtherChanges = { updates: [], evictions: [] };
const nothing = () => Promise.resolve();

/** No plugins at all. */
export const NO_PLUGINS: Plugins = {
  isIdle: true,
  amid: (change) => change(),
  runPod: nothing,
  updatePod: nothing,
  podUpdated: nothing,
  podStopped: nothing,
  podRemoved: nothing,
  createContainer: (_pod, _container, spec) =>
    Promise.resolve({ ...NOTHING, spec, limits: {}, cdiDevices: [], of: '' }),
  containerCreated: nothing,
  startContainer: nothing,
  containerStarted: nothing,
  updateContainer: (_pod, _container, limits) => Promise.resolve({ ...NOTHING, limits }),
  containerUpdated: nothing,
  containerStopped: () => Promise.resolve(NOTHING),
  containerRemoved: nothing,
};
