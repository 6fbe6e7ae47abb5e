import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateContainerRequest,
  ListPodSandboxRequest,
  RemovePodSandboxRequest,
  RunPodSandboxRequest,
  RuntimeServiceService,
  StartContainerRequest,
  StopPodSandboxRequest,
} from '../../../api/gen/cri.ts';
import { messageOf } from '../../utils/errors.ts';
import type { Method, ServerClient } from '../client/server.ts';
import type { CliContext, Input } from '../command.ts';
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from '../stream/detach-keys.ts';
import { type SessionOptions, requireTerminal } from '../stream/session.ts';
import { wholeNumber } from '../values.ts';
import { ensureImage } from './ensure-image.ts';
import { follow } from './follow.ts';
import { Interrupted, Interruption } from './interruption.ts';
import { LOG_FILE, LOG_DIRECTORY_PREFIX, RUN_LABEL, type RunRequests, runRequests } from './requests.ts';

/** The maximum of a Node.js timer. */
const MAX_TIMEOUT_SECONDS = 2_000_000;
const STOP_GRACE_SECONDS = 10;
const SETUP_TIMEOUT_MS = 240_000;

/**
 * Runs a container in its own pod, prints its output, returns its exit code, and always removes both.
 * With `--detach` it prints the container's id and keeps both.
 * @returns the container's exit code, 124 after the timeout, 128 plus the number of a signal that arrived before it ran,
 *   0 when the operator detached. @throws UsageError, CriError
 */
export async function runForeground(context: CliContext, server: ServerClient, input: Input): Promise<number> {
  const timeout = input.text('timeout');
  const seconds = timeout === undefined ? undefined : wholeNumber('timeout', timeout, 1, MAX_TIMEOUT_SECONDS);
  const session = sessionOptions(input);
  if (!input.has('detach')) requireTerminal(context, session);
  const logDirectory = await mkdtemp(join(tmpdir(), LOG_DIRECTORY_PREFIX));
  const uid = randomUUID();
  let keep = false;
  using interruption = new Interruption(context, STOP_GRACE_SECONDS);
  try {
    const requests = await runRequests(input, uid, logDirectory);
    const id = await start(context, server, requests, input, interruption);
    keep = input.has('keep') || input.has('detach');
    if (input.has('detach')) {
      context.stdout.write(`${id}\n`);
      return 0;
    }
    const reportKept = () => context.stderr.write(`Container ${id} is kept, with its log in ${logDirectory}\n`);
    if (keep) reportKept();
    const started = { id, logFile: join(logDirectory, LOG_FILE), session, seconds };
    const end = await follow(context, server, started, interruption);
    if (end !== 'detached') return end;
    if (!keep) reportKept();
    keep = true;
    return 0;
  } catch (error) {
    if (error instanceof Interrupted) return error.exitCode;
    throw error;
  } finally {
    if (!keep) {
      await removePods(context, server, uid);
      await rm(logDirectory, { recursive: true, force: true });
    }
  }
}

/** Creates pod and container and starts it. @returns the container's id. @throws Interrupted on a signal. */
async function start(
  context: CliContext,
  server: ServerClient,
  { image, handler, pod, container }: RunRequests,
  input: Input,
  { signal, impatient }: Interruption,
): Promise<string> {
  try {
    await ensureImage(context, server, image, input.text('pull') ?? 'missing', signal);
    const call = async <Q, A>(method: Method<Q, A>, request: Q): Promise<A> => {
      signal.throwIfAborted();
      return server.call(method, request, { timeoutMs: SETUP_TIMEOUT_MS, signal: impatient });
    };
    const sandbox = RunPodSandboxRequest.create({ config: pod, runtimeHandler: handler });
    const { podSandboxId } = await call(RuntimeServiceService.runPodSandbox, sandbox);
    const create = CreateContainerRequest.create({ podSandboxId, config: container, sandboxConfig: pod });
    const { containerId } = await call(RuntimeServiceService.createContainer, create);
    await call(RuntimeServiceService.startContainer, StartContainerRequest.create({ containerId }));
    return containerId;
  } catch (error) {
    signal.throwIfAborted(); // more specific than the error of the cancelled RPC
    throw error;
  }
}

/** @throws UsageError */
function sessionOptions(input: Input): SessionOptions {
  const detachKeys = parseDetachKeys(input.text('detach-keys') ?? DEFAULT_DETACH_KEYS);
  return { stdin: input.has('interactive'), tty: input.has('tty'), output: false, detachKeys };
}

/** Removes every pod of this run; errors are printed and do not replace the result of the run. */
async function removePods(context: CliContext, server: ServerClient, uid: string): Promise<void> {
  try {
    const list = ListPodSandboxRequest.create({ filter: { labelSelector: { [RUN_LABEL]: uid } } });
    const { items } = await server.call(RuntimeServiceService.listPodSandbox, list);
    for (const { id: podSandboxId } of items) {
      const options = { timeoutMs: SETUP_TIMEOUT_MS };
      await server.call(RuntimeServiceService.stopPodSandbox, StopPodSandboxRequest.create({ podSandboxId }), options);
      await server.call(
        RuntimeServiceService.removePodSandbox,
        RemovePodSandboxRequest.create({ podSandboxId }),
        options,
      );
    }
  } catch (error) {
    context.stderr.write(`proxmox-lxcri: the pod could not be removed: ${messageOf(error)}\n`);
  }
}
