import { ContainerState, ContainerStatusRequest, RuntimeServiceService } from '../../../api/gen/cri.ts';
import { failedPrecondition } from '../../core/model/errors.ts';
import type { CliContext, Input } from '../command.ts';
import { LogEnd, followLog } from '../logs/follow.ts';
import { printLog } from '../logs/print.ts';
import { awaitExit } from '../run/await-exit.ts';
import { resolve } from './resolve.ts';
import type { ServerClient } from './server.ts';

/** Prints a container's log to the streams it came from; with --follow until it exits or a signal arrives. */
export async function printContainerLog(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const { id } = await resolve(server, input.args[0] ?? '', ['container']);
  const request = ContainerStatusRequest.create({ containerId: id });
  const { status } = await server.call(RuntimeServiceService.containerStatus, request);
  if (!status?.logPath) throw failedPrecondition(`container ${id} has no log file`);

  const end = new LogEnd();
  const interrupted = new AbortController();
  const unsubscribe = context.onSignal(() => {
    interrupted.abort();
    end.end();
  });
  const follow = input.has('follow') && status.state === ContainerState.CONTAINER_RUNNING;
  const exited = follow ? awaitEnd(server, id, interrupted.signal) : Promise.resolve();
  void exited.finally(() => {
    end.end();
  });
  try {
    await printLog(followLog(status.logPath, end), context, input.has('timestamps'));
  } finally {
    interrupted.abort();
    unsubscribe();
    await exited;
  }
}

/** The log also ends when the container is removed or the server stops. */
async function awaitEnd(server: ServerClient, id: string, signal: AbortSignal): Promise<void> {
  try {
    await awaitExit(server, id, signal);
  } catch {
    // On any error there is nothing more to wait for.
  }
}
