import {
  AttachRequest,
  ContainerStatusRequest,
  type ContainerStatusResponse,
  RuntimeServiceService,
} from '../../../api/gen/cri.ts';
import type { CliContext, Input } from '../command.ts';
import { awaitExit } from '../run/await-exit.ts';
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from '../stream/detach-keys.ts';
import { foregroundSession, streamFlags } from '../stream/session.ts';
import { resolve } from './resolve.ts';
import type { ServerClient } from './server.ts';

/**
 * Connects this process's streams to a running container's, until it exits or the operator detaches.
 * @returns the container's exit code, 0 when detached. @throws UsageError, CriError
 */
export async function attachContainer(context: CliContext, server: ServerClient, input: Input): Promise<number> {
  const detachKeys = parseDetachKeys(input.text('detach-keys') ?? DEFAULT_DETACH_KEYS);
  const { id: containerId } = await resolve(server, input.args[0] ?? '', ['container']);
  const request = ContainerStatusRequest.create({ containerId, verbose: true });
  const made = streamsOf(await server.call(RuntimeServiceService.containerStatus, request));
  const options = { stdin: made.stdin && !input.has('no-stdin'), output: true, tty: made.tty, detachKeys };
  const attach = AttachRequest.create({ containerId, ...streamFlags(options) });
  const { url } = await server.call(RuntimeServiceService.attach, attach);
  const { kind, exitCode } = await foregroundSession(context, url, options);
  if (kind !== 'exited') return exitCode;
  return (await awaitExit(server, containerId, new AbortController().signal)).exitCode;
}

/** The streams that the container was created with; CRI reports them in the verbose information only. */
function streamsOf({ info }: ContainerStatusResponse): { stdin: boolean; tty: boolean } {
  const { config } = JSON.parse(info['info'] ?? '{}') as { config?: { stdin?: boolean; tty?: boolean } };
  return { stdin: config?.stdin === true, tty: config?.tty === true };
}
