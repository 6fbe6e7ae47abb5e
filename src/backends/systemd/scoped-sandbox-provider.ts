import { posix } from 'node:path';
import type { SandboxUsage } from '../../core/model/resource-usage.ts';
import type {
  HandlerFeatures,
  Placement,
  SandboxHandle,
  SandboxLimits,
  SandboxProvider,
  SandboxReference,
  SandboxSpec,
  SandboxStatus,
} from '../../core/model/sandbox-provider.ts';
import type { WarmPool } from '../../core/model/warm-pool.ts';
import { cgroupHierarchies } from '../../host/cgroup/hierarchies.ts';
import { cgroupDirectories } from '../../host/cgroup/path.ts';
import { removeCgroup } from '../../host/cgroup/remove.ts';
import { isBootedBySystemd } from '../../host/systemd.ts';
import { scopeName, startScope, stopScope } from './pod-scope.ts';

/**
 * A provider whose pods are in scopes of systemd, so that systemd keeps the controllers that their cgroups need: the
 * other provider's cgroups are created below a scope in that slice. Where systemd does not run the machine, or the pod
 * was created without a scope, it behaves as the other provider.
 */
export class ScopedSandboxProvider implements SandboxProvider {
  readonly end?: NonNullable<SandboxProvider['end']>;
  readonly release?: NonNullable<SandboxProvider['release']>;
  readonly #inner: SandboxProvider;
  readonly #wanted: boolean;

  /** @param wanted whether new pods get a scope. */
  constructor(provider: SandboxProvider, wanted: boolean) {
    this.#inner = provider;
    this.#wanted = wanted;
    if (provider.end !== undefined) this.end = async (sandbox) => provider.end?.(inner(sandbox));
    if (provider.release !== undefined) this.release = async (sandbox) => provider.release?.(inner(sandbox));
  }

  get handler(): string {
    return this.#inner.handler;
  }

  get features(): HandlerFeatures {
    return this.#inner.features;
  }

  get joinsNetworks(): boolean {
    return this.#inner.joinsNetworks === true;
  }

  get warmPool(): WarmPool | undefined {
    return this.#inner.warmPool;
  }

  unavailableBecause(): Promise<string | undefined> {
    return this.#inner.unavailableBecause();
  }

  async create(
    spec: SandboxSpec,
    progress: (handle: SandboxHandle) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<SandboxReference> {
    if (!this.#wanted || !(await isBootedBySystemd())) return this.#inner.create(spec, progress, signal);
    const inScope = scoped(spec);
    let handle: SandboxHandle = { scope: scopeName(spec.id) };
    await progress(handle);
    const slice = posix.basename(spec.cgroupParent) || '-.slice';
    await startScope(spec.id, { slice, path: inScope.cgroupParent }, signal);
    const keep = async (inner: SandboxHandle) => {
      handle = { ...handle, inner };
      await progress(handle);
    };
    await this.#inner.create(inScope, keep, signal);
    return { spec, handle };
  }

  start(sandbox: SandboxReference, signal?: AbortSignal): Promise<Placement> {
    return this.#inner.start(inner(sandbox), signal);
  }

  adopt(sandbox: SandboxReference): Promise<SandboxStatus> {
    return this.#inner.adopt(inner(sandbox));
  }

  status(sandbox: SandboxReference): SandboxStatus {
    return this.#inner.status(inner(sandbox));
  }

  async describe(sandbox: SandboxReference): Promise<Record<string, unknown>> {
    const facts = await this.#inner.describe(inner(sandbox));
    return isScoped(sandbox) ? { ...facts, systemdScope: scopeName(sandbox.spec.id) } : facts;
  }

  usage(sandbox: SandboxReference): Promise<SandboxUsage> {
    return this.#inner.usage(inner(sandbox));
  }

  update(sandbox: SandboxReference, limits: SandboxLimits): Promise<void> {
    return this.#inner.update(inner(sandbox), limits);
  }

  async stop(sandbox: SandboxReference): Promise<void> {
    await this.#inner.stop(inner(sandbox));
    if (isScoped(sandbox)) await stopScope(sandbox.spec.id);
  }

  async remove(sandbox: SandboxReference): Promise<void> {
    await this.#inner.remove(inner(sandbox));
    if (!isScoped(sandbox)) return;
    await stopScope(sandbox.spec.id);
    // In hierarchies that systemd does not use (v1's cpuset, freezer), the scope was created with the pod's cgroup.
    await removeCgroup(cgroupDirectories(scoped(sandbox.spec).cgroupParent, await cgroupHierarchies()));
  }

  async discard(sandboxId: string): Promise<void> {
    await this.#inner.discard(sandboxId);
    if (await isBootedBySystemd()) await stopScope(sandboxId);
  }

  list(): Promise<string[]> {
    return this.#inner.list();
  }

  onExit(listener: (sandboxId: string, reason: string) => void): () => void {
    return this.#inner.onExit(listener);
  }
}

function scoped(spec: SandboxSpec): SandboxSpec {
  const parent = spec.cgroupParent === '/' ? '' : spec.cgroupParent;
  return { ...spec, cgroupParent: `${parent}/${scopeName(spec.id)}` };
}

/** The sandbox as the other provider created it. */
function inner(sandbox: SandboxReference): SandboxReference {
  if (!isScoped(sandbox)) return sandbox;
  const handle = sandbox.handle?.['inner'] as SandboxHandle | undefined;
  return { spec: scoped(sandbox.spec), ...(handle !== undefined && { handle }) };
}

/** By its handle: a scope is found again after a change of the driver, too. */
function isScoped({ handle }: SandboxReference): boolean {
  return handle?.['scope'] !== undefined;
}
