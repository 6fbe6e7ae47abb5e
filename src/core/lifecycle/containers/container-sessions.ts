import type { ContainerRunner, ContainerStreams, ExecResult } from '../../model/container-runner.ts';
import { failedPrecondition, invalidArgument } from '../../model/errors.ts';
import type { OciProcess } from '../../model/oci-runtime.ts';
import { checkNoNul } from '../checks.ts';
import type { PodService } from '../pods/pod-service.ts';
import type { ContainerService } from './container-service.ts';

/** CRI's maximum of ExecSyncResponse, which is also the maximum message size of the kubelet's client, minus framing. */
const EXEC_OUTPUT_BYTES = 16 * 1024 * 1024 - 1024;
/** Maximum delay of setTimeout in Node.js, in milliseconds. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** A command or an attachment that runs once a client connects its streams. */
export type OfferedSession = (io: ContainerStreams, signal: AbortSignal) => Promise<number>;

/** Commands in running containers and connections to them; a streaming session is validated before its URL is returned. */
export class ContainerSessions {
  readonly #pods: Pick<PodService, 'backendOf'>;
  readonly #containers: Pick<ContainerService, 'running'>;

  constructor(pods: Pick<PodService, 'backendOf'>, containers: Pick<ContainerService, 'running'>) {
    this.#pods = pods;
    this.#containers = containers;
  }

  /**
   * Runs a command in a running container (CRI ExecSync) with the container's user, environment and directory.
   * @throws CriError NOT_FOUND, FAILED_PRECONDITION, DEADLINE_EXCEEDED after `timeoutSeconds` (0: no limit), UNKNOWN.
   */
  async execSync(
    id: string,
    command: readonly string[],
    timeoutSeconds: bigint,
    signal?: AbortSignal,
  ): Promise<ExecResult> {
    if (timeoutSeconds < 0n) throw invalidArgument('timeout', 'must not be negative');
    const { container, process } = await this.#commandIn(id, command, false);
    return container.runner.exec(container.id, process, {
      timeoutMs: Math.min(Number(timeoutSeconds) * 1000, LONGEST_TIMER_MS),
      maxOutputBytes: EXEC_OUTPUT_BYTES,
      signal,
    });
  }

  /**
   * A command for a client that connects later (CRI Exec); fails when the container has exited. Resolves with the exit code.
   * @throws CriError NOT_FOUND, FAILED_PRECONDITION, INVALID_ARGUMENT.
   */
  async exec(id: string, command: readonly string[], terminal: boolean): Promise<OfferedSession> {
    const { container, process } = await this.#commandIn(id, command, terminal);
    return (io, signal) => this.#running(container.id).runner.execStream(container.id, process, io, signal);
  }

  /** A connection to the container's streams (CRI Attach); resolves with 0. @throws CriError NOT_FOUND, FAILED_PRECONDITION. */
  attach(id: string): OfferedSession {
    const container = this.#running(id);
    return async (io, signal) => {
      await this.#running(container.id).runner.attach(container.id, io, signal);
      return 0;
    };
  }

  #running(id: string): { id: string; runner: ContainerRunner } {
    const record = this.#containers.running(id);
    return { id: record.id, runner: this.#pods.backendOf(record.sandboxId).runner };
  }

  async #commandIn(id: string, command: readonly string[], terminal: boolean) {
    if (command.length === 0) throw invalidArgument('cmd', 'must not be empty');
    for (const word of command) checkNoNul('cmd', word);
    const container = this.#running(id);
    const spec = await container.runner.spec(container.id);
    if (spec === undefined)
      throw failedPrecondition(`container ${container.id} has no runtime configuration; its bundle was removed`);
    const process: OciProcess = { ...spec.process, args: [...command], terminal };
    return { container, process };
  }
}
