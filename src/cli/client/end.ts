import {
  ContainerState,
  ContainerStatusRequest,
  PodSandboxState,
  PodSandboxStatusRequest,
  RemoveContainerRequest,
  RemovePodSandboxRequest,
  RuntimeServiceService,
  StopContainerRequest,
  StopPodSandboxRequest,
} from '../../../api/gen/cri.ts';
import { failedPrecondition } from '../../core/model/errors.ts';
import type { CliContext, Input } from '../command.ts';
import { leftByRun, removeRunLog } from '../run/left-over.ts';
import { wholeNumber } from '../values.ts';
import { type Found, resolve } from './resolve.ts';
import type { ServerClient } from './server.ts';

const STOP_GRACE_SECONDS = 10;
/** In addition to the grace period of the containers. */
const CALL_TIMEOUT_MS = 240_000;

/** Stops containers and pods and prints their ids. */
export async function stopObjects(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const text = input.text('timeout');
  const grace = text === undefined ? STOP_GRACE_SECONDS : wholeNumber('timeout', text);
  for (const word of input.args) {
    const found = await resolve(server, word, ['container', 'pod']);
    await stop(server, found, grace);
    context.stdout.write(`${found.id}\n`);
  }
}

/**
 * Removes containers and pods and prints their ids; a container that `run` kept is removed with its pod and its log.
 * @throws CriError FAILED_PRECONDITION for a running one, without --force.
 */
export async function removeObjects(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  for (const word of input.args) {
    const found = await resolve(server, word, ['container', 'pod']);
    const run = await leftByRun(server, found);
    if (!input.has('force') && (await alive(server, found))) {
      throw failedPrecondition(`${found.kind} ${found.id} is running; stop it first, or use --force`);
    }
    const whole = run?.pod ?? found;
    if (run !== undefined || input.has('force')) await stop(server, whole, STOP_GRACE_SECONDS);
    await remove(server, whole);
    if (run !== undefined) await removeRunLog(run.logPath);
    context.stdout.write(`${found.id}\n`);
  }
}

async function stop(server: ServerClient, { kind, id }: Found, graceSeconds: number): Promise<void> {
  const options = { timeoutMs: graceSeconds * 1000 + CALL_TIMEOUT_MS };
  if (kind === 'container') {
    const request = StopContainerRequest.create({ containerId: id, timeout: BigInt(graceSeconds) });
    await server.call(RuntimeServiceService.stopContainer, request, options);
  } else {
    const request = StopPodSandboxRequest.create({ podSandboxId: id });
    await server.call(RuntimeServiceService.stopPodSandbox, request, options);
  }
}

async function remove(server: ServerClient, { kind, id }: Found): Promise<void> {
  const options = { timeoutMs: CALL_TIMEOUT_MS };
  if (kind === 'container') {
    const request = RemoveContainerRequest.create({ containerId: id });
    await server.call(RuntimeServiceService.removeContainer, request, options);
  } else {
    const request = RemovePodSandboxRequest.create({ podSandboxId: id });
    await server.call(RuntimeServiceService.removePodSandbox, request, options);
  }
}

async function alive(server: ServerClient, { kind, id }: Found): Promise<boolean> {
  if (kind === 'container') {
    const request = ContainerStatusRequest.create({ containerId: id });
    const { status } = await server.call(RuntimeServiceService.containerStatus, request);
    return status?.state === ContainerState.CONTAINER_RUNNING;
  }
  const request = PodSandboxStatusRequest.create({ podSandboxId: id });
  const { status } = await server.call(RuntimeServiceService.podSandboxStatus, request);
  return status?.state === PodSandboxState.SANDBOX_READY;
}
