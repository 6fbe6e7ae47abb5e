import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '../lib/eventually.ts';
import { OneNode, removeNodeDirectory } from './one-node.ts';
import { pod } from './pod-parts.ts';

/** What the tests read of a pod (Pod, core/v1). */
export interface Pod {
  metadata: { name: string; uid: string; annotations?: Record<string, string> };
  status: {
    phase: string;
    podIP?: string;
    conditions?: { type: string; status: string; lastTransitionTime: string }[];
    initContainerStatuses?: ContainerStatus[];
    containerStatuses?: ContainerStatus[];
  };
}

interface Terminated {
  exitCode: number;
  reason: string;
  message?: string;
}

interface ContainerStatus {
  name: string;
  ready: boolean;
  restartCount: number;
  containerID: string;
  resources?: { limits?: Record<string, string> };
  state: { waiting?: { reason: string }; running?: { startedAt: string }; terminated?: Terminated };
  lastState: { terminated?: Terminated };
}

/** The node that the tests of a run share, and what they ask of it: a cluster's, or a standalone kubelet. */
export class NodeUnderTest {
  readonly node: OneNode;
  /** Handler of its pods. */
  readonly handler: string;
  readonly isStandalone: boolean;

  private constructor(node: OneNode, handler: string, isStandalone: boolean) {
    this.node = node;
    this.handler = handler;
    this.isStandalone = isStandalone;
  }

  /** Starts the node that test/long.d/node describes in the environment. */
  static async start(standalone: boolean): Promise<NodeUnderTest> {
    const { NODE_HANDLER: handler = 'lxc', NODE_BINARIES: binaries, NODE_IMAGES: images } = process.env;
    if (!binaries || !images) throw new Error('run this by test/long node');
    const directory = await mkdtemp('/tmp/node-');
    try {
      const node = await OneNode.start({ directory, binaries, images, handler, standalone });
      return new NodeUnderTest(node, handler, standalone);
    } catch (error) {
      await removeNodeDirectory(directory);
      throw error;
    }
  }

  async stop(): Promise<void> {
    try {
      await this.node.stop();
    } finally {
      await removeNodeDirectory(this.node.directory);
    }
  }

  kubectl(...args: string[]): Promise<string> {
    return this.node.kubectl(...args);
  }

  /** What the kubelet answers at a path, such as `/metrics/resource`. */
  async kubelet(path: string): Promise<string> {
    if (!this.isStandalone) return this.kubectl('get', '--raw', `/api/v1/nodes/node1/proxy${path}`);
    return (await fetch(`${this.node.kubeletUrl}${path}`)).text();
  }

  /** An object of the API. */
  async get<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.kubectl('get', '-o', 'json', ...args)) as T;
  }

  /** All pods that the kubelet has. */
  async pods(): Promise<Pod[]> {
    return (JSON.parse(await this.kubelet('/pods')) as { items: Pod[] | null }).items ?? [];
  }

  /** A pod, as the API or the standalone kubelet shows it; undefined when there is none. */
  async pod(name: string): Promise<Pod | undefined> {
    if (!this.isStandalone) return this.get<Pod>('pod', name);
    return (await this.pods()).find(({ metadata }) => metadata.name === this.nameOf(name));
  }

  /** The name that a pod gets: the kubelet adds that of the node to those of static pods. */
  nameOf(name: string): string {
    return this.isStandalone ? `${name}-node1` : name;
  }

  /** Runs a pod with this PodSpec. */
  async run(name: string, spec: object, metadata: object = {}): Promise<void> {
    const object = pod(name, spec, metadata);
    if (!this.isStandalone) return this.node.apply(object);
    const file = join(this.node.directory, `${name}.json`);
    await writeFile(file, JSON.stringify(object));
    // Whole at once: the kubelet reports a half of a manifest as a bad one.
    return rename(file, this.#manifest(name));
  }

  /** Waits until a pod is Ready. */
  ready(name: string): Promise<Pod> {
    return this.until('the readiness', name, ({ status }) =>
      (status.conditions ?? []).some((condition) => condition.type === 'Ready' && condition.status === 'True'),
    );
  }

  /** Waits until a pod is as `look` wants it. */
  until(what: string, name: string, look: (pod: Pod) => boolean): Promise<Pod> {
    return eventually(`${what} of pod ${name}`, async () => {
      const found = await this.pod(name);
      return found && look(found) && found;
    });
  }

  exec(name: string, ...command: string[]): Promise<string> {
    return this.kubectl('exec', name, '--', ...command);
  }

  /** Removes pods, and waits until nothing of them is left. */
  async remove(...names: string[]): Promise<void> {
    if (this.isStandalone) for (const name of names) await rm(this.#manifest(name));
    else await this.kubectl('delete', 'pod', '--wait', '--timeout=300s', ...names);
    // A standalone kubelet forgets the pod at once, and then ends it.
    await eventually('the end of the pods', async () => {
      const rest = await this.node.cli('pods');
      return names.every((name) => !rest.includes(`${this.nameOf(name)} `));
    });
  }

  #manifest(name: string): string {
    return join(this.node.manifests, `${name}.json`);
  }
}

/** The ids of a pod's containers with their numbers of restarts: the same while it goes on undisturbed. */
export function lives({ status }: Pod): string[] {
  return (status.containerStatuses ?? [])
    .map(({ name, containerID, restartCount }) => `${name} ${containerID} ${String(restartCount)}`)
    .sort();
}
