import type { ImageService } from './core/lifecycle/images/image-service.ts';
import type { Metrics } from './core/metrics/metrics.ts';
import { type Around, observed } from './core/metrics/observed.ts';
import type { Backend } from './core/model/backend.ts';
import type { Plugins } from './core/model/plugins.ts';
import type { RootfsStore } from './core/model/rootfs.ts';
import type { Tracing } from './core/model/tracing.ts';

/** Where the time of a call goes: the ports of the backends, with metrics of their operations and a span for each step. */
export class Measures {
  readonly #metrics: Metrics;
  readonly #tracing: Tracing;
  /** One for each part: parts that backends share stay one. */
  readonly #made = new Map<object, object>();

  constructor(metrics: Metrics, tracing: Tracing) {
    this.#metrics = metrics;
    this.#tracing = tracing;
  }

  /** A call of a CNI plugin. */
  readonly plugin = <T>(plugin: string, operation: string, work: () => Promise<T>): Promise<T> =>
    this.#metrics.cni.run({ plugin, operation }, () =>
      this.#tracing.step(`cni.${operation.toLowerCase()}`, { 'cni.plugin': plugin }, work),
    );

  store(store: RootfsStore): RootfsStore {
    const { name } = store;
    const around: Around = (operation, work) =>
      this.#metrics.rootfs.run({ store: name, operation }, () =>
        this.#tracing.step(`rootfs.${operation}`, { store: name }, work),
      );
    return this.#once(store, () => observed(store, ['applyLayer', 'removeLayer', 'prepare', 'remove'], around));
  }

  backend(backend: Backend): Backend {
    const { sandboxes, runner, network, platform } = backend;
    const { handler } = sandboxes;
    const ofSandbox: Around = (operation, work) =>
      this.#metrics.sandboxes.run({ handler, operation }, () =>
        this.#tracing.step(`sandbox.${operation}`, { handler }, work),
      );
    const ofRunner: Around = (operation, work) =>
      this.#metrics.containers.run({ operation }, () => this.#tracing.step(`container.${operation}`, {}, work));
    return {
      ...backend,
      sandboxes: observed(sandboxes, ['create', 'start', 'adopt', 'update', 'stop', 'remove'], ofSandbox),
      runner: this.#once(runner, () => observed(runner, ['create', 'start', 'killAll', 'exec', 'remove'], ofRunner)),
      network: this.#once(network, () => observed(network, ['attach', 'detach'], this.#step('network'))),
      platform: this.#once(platform, () => ({
        ...platform,
        podDirectories: this.#once(platform.podDirectories, () =>
          observed(platform.podDirectories, ['make', 'writeFiles'], this.#step('pod_files')),
        ),
        rootfs: this.#once(platform.rootfs, () =>
          observed(platform.rootfs, ['mount', 'unmount'], this.#step('mounts')),
        ),
      })),
    };
  }

  plugins(plugins: Plugins): Plugins {
    return observed(plugins, ['runPod'], this.#step('nri'));
  }

  images(images: ImageService): ImageService {
    return observed(images, ['pull'], (_, work) => this.#metrics.pulls.run(work));
  }

  #step(part: string): Around {
    return (operation, work) => this.#tracing.step(`${part}.${operation}`, {}, work);
  }

  #once<T extends object>(part: T, make: () => T): T {
    const made = (this.#made.get(part) as T | undefined) ?? make();
    this.#made.set(part, made);
    return made;
  }
}
