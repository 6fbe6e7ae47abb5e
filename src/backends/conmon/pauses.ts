import { rm, writeFile } from 'node:fs/promises';
import { CriError, failedPrecondition } from '../../core/model/errors.ts';
import { freezeCgroup, isFrozen, setFrozen } from '../../host/cgroup/freezer.ts';
import type { CgroupHierarchy } from '../../host/cgroup/hierarchies.ts';
import { exists } from '../../utils/fs/exists.ts';
import { containerCgroups } from './container-cgroups.ts';
import type { RunnerPaths } from './paths.ts';

/** Maximum milliseconds for the processes of a container to freeze. */
const FREEZE_MS = 5000;

/** The runtime has refused to run a command, because the container is frozen. */
export class PausedError extends CriError {}

/** Freezes containers, each for a moment. A file in the bundle of a frozen one tells the next process to continue it. */
export class Pauses {
  readonly #paths: RunnerPaths;
  /** By id: settled when the container runs again. */
  readonly #paused = new Map<string, PromiseWithResolvers<void>>();
  /** How many there have been. */
  #count = 0;

  constructor(paths: RunnerPaths) {
    this.#paths = paths;
  }

  /** As ContainerRunner.pause. */
  async pause(id: string, hierarchies: readonly CgroupHierarchy[]): Promise<void> {
    const { container } = await containerCgroups(this.#paths, hierarchies, id);
    if (!(await exists(this.#paths.paused(id))) && isFrozen(container)) {
      throw failedPrecondition(`container ${id} is frozen by others; continue it with the program that has frozen it`);
    }
    await writeFile(this.#paths.paused(id), '', { mode: 0o600 });
    this.#paused.set(id, this.#paused.get(id) ?? Promise.withResolvers());
    this.#count += 1;
    try {
      await freezeCgroup(container, FREEZE_MS);
    } catch (error) {
      await this.resume(id, hierarchies);
      throw error;
    }
  }

  /** As ContainerRunner.resume. */
  async resume(id: string, hierarchies: readonly CgroupHierarchy[]): Promise<boolean> {
    try {
      if (!(await exists(this.#paths.paused(id)))) return false;
      const { container } = await containerCgroups(this.#paths, hierarchies, id);
      await setFrozen(container, false);
      await rm(this.#paths.paused(id), { force: true });
      return true;
    } finally {
      this.#paused.get(id)?.resolve();
      this.#paused.delete(id);
    }
  }

  /**
   * Runs a command while the container is not frozen. One that the runtime has refused because of a pause is run again, where
   * `isRepeatable`: nothing of its input is lost.
   */
  async run<T>(id: string, isRepeatable: boolean, command: () => Promise<T>): Promise<T> {
    for (;;) {
      await this.#paused.get(id)?.promise;
      const before = this.#count;
      try {
        return await command();
      } catch (error) {
        if (!(error instanceof PausedError) || !isRepeatable || this.#count === before) throw error;
      }
    }
  }
}
