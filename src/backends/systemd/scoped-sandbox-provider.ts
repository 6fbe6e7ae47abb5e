import { access, rm, writeFile } from 'node:fs/promises';
import { posix } from 'node:path';
import type { HandlerFeatures, Placement, SandboxProvider, SandboxSpec } from '../../core/model/sandbox-provider.ts';
import { cgroupHierarchies } from '../../host/cgroup/hierarchies.ts';
import { cgroupDirectories } from '../../host/cgroup/path.ts';
import { removeCgroup } from '../../host/cgroup/remove.ts';
import { isBootedBySystemd } from '../../host/systemd.ts';
import { scopeName, startScope, stopScope } from './pod-scope.ts';

/**
 * A provider whose pods are in scopes of systemd, so that systemd does not take the controllers away that their cgroups
 * need: what the other provider makes below the pod's cgroup parent is made below a scope in that slice. Where systemd
 * does not run the machine, or the pod was made without a scope, it is the other provider.
 */
export class ScopedSandboxProvider implements SandboxProvider {
  readonly #inner: SandboxProvider;
  readonly #wanted: boolean;

  /** @param wanted whether new pods get a scope. */
  constructor(inner: SandboxProvider, wanted: boolean) {
    this.#inner = inner;
    this.#wanted = wanted;
  }

  get handler(): string {
    return this.#inner.handler;
  }

  get features(): HandlerFeatures {
    return this.#inner.features;
  }

  unavailableBecause(): Promise<string | undefined> {
    return this.#inner.unavailableBecause();
  }

  async start(spec: SandboxSpec, signal?: AbortSignal): Promise<Placement> {
    if (!this.#wanted || !(await isBootedBySystemd())) return this.#inner.start(spec, signal);
    const inner = scoped(spec);
    try {
      await writeFile(markOf(spec), '', { mode: 0o600 });
      await startScope(spec.id, posix.basename(spec.cgroupParent) || '-.slice', inner.cgroupParent);
      return await this.#inner.start(inner, signal);
    } catch (error) {
      await this.remove(spec);
      throw error;
    }
  }

  async inspect(spec: SandboxSpec): Promise<Placement | undefined> {
    return this.#inner.inspect(await made(spec));
  }

  async describe(spec: SandboxSpec): Promise<Record<string, unknown>> {
    const facts = await this.#inner.describe(await made(spec));
    return (await isScoped(spec)) ? { ...facts, systemdScope: scopeName(spec.id) } : facts;
  }

  async stop(spec: SandboxSpec): Promise<void> {
    await this.#inner.stop(await made(spec));
    if (await isScoped(spec)) await stopScope(spec.id);
  }

  async remove(spec: SandboxSpec): Promise<void> {
    await this.#inner.remove(await made(spec));
    if (!(await isScoped(spec))) return;
    await stopScope(spec.id);
    // In hierarchies that systemd does not use (v1's cpuset, freezer), it was made with the pod's.
    await removeCgroup(cgroupDirectories(scoped(spec).cgroupParent, await cgroupHierarchies()));
    await rm(markOf(spec), { force: true });
  }

  async discard(sandboxId: string): Promise<void> {
    await this.#inner.discard(sandboxId);
    if (await isBootedBySystemd()) await stopScope(sandboxId);
  }

  list(): Promise<string[]> {
    return this.#inner.list();
  }

  onExit(listener: (sandboxId: string) => void): () => void {
    return this.#inner.onExit(listener);
  }
}

function scoped(spec: SandboxSpec): SandboxSpec {
  const parent = spec.cgroupParent === '/' ? '' : spec.cgroupParent;
  return { ...spec, cgroupParent: `${parent}/${scopeName(spec.id)}` };
}

/** The specification a sandbox was made by. */
async function made(spec: SandboxSpec): Promise<SandboxSpec> {
  return (await isScoped(spec)) ? scoped(spec) : spec;
}

/** Written before the scope is made: where it stays after a change of the driver, the scope is found again. */
function markOf(spec: SandboxSpec): string {
  return `${spec.runDir}/scope`;
}

async function isScoped(spec: SandboxSpec): Promise<boolean> {
  return access(markOf(spec)).then(
    () => true,
    () => false,
  );
}
