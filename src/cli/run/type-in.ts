import { setTimeout as sleep } from 'node:timers/promises';
import { AttachRequest, RuntimeServiceService } from '../../../api/gen/cri.ts';
import type { ServerClient } from '../client/server.ts';
import type { CliContext } from '../command.ts';
import { type SessionOptions, remoteSession, streamFlags } from '../stream/session.ts';

/** How long after its end a container's exit is known at the latest, unless there is no exit. */
const EXIT_KNOWN_MS = 5000;

/**
 * Passes standard input and the terminal's size on to a container that runs; its output comes from its log, which nothing
 * is missing from. Ends with the container, by `signal`, or when the operator detaches.
 * @returns whether he did. @throws CriError when the session fails while the container runs.
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
    // A short command may have ended before anything could be attached to it: then its exit is known soon.
    await sleep(EXIT_KNOWN_MS, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return false;
    throw error;
  }
}
