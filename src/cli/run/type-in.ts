import { setTimeout as sleep } from 'node:timers/promises';
import { AttachRequest, RuntimeServiceService } from '../../../api/gen/cri.ts';
import type { ServerClient } from '../client/server.ts';
import type { CliContext } from '../command.ts';
import { type SessionOptions, remoteSession, streamFlags } from '../stream/session.ts';

/** Maximum time from a container's end until its exit is reported. */
const EXIT_KNOWN_MS = 5000;

/**
 * Forwards standard input and the terminal's size to a running container; its output comes from its log, which is complete.
 * Ends with the container, by `signal`, or when the operator detaches.
 * @returns whether the operator detached. @throws CriError when the streaming session fails while the container runs.
 */
export async function typeIn(
  context: CliContext,
  server: ServerClient,
  containerId: string,
  options: SessionOptions,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const request = AttachRequest.create({ containerId, ...streamFlags(options) });
    const { url } = await server.call(RuntimeServiceService.attach, request, { signal });
    return (await remoteSession(context, url, options, signal)).kind === 'detached';
  } catch (error) {
    // A short command may have exited before attach: its exit is then reported soon.
    await sleep(EXIT_KNOWN_MS, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return false;
    throw error;
  }
}
