import { ContainerStatusRequest, RuntimeServiceService, StopContainerRequest } from '../../../api/gen/cri.ts';
import type { ServerClient } from '../client/server.ts';
import type { CliContext } from '../command.ts';
import { LogEnd, followLog } from '../logs/follow.ts';
import { printLog } from '../logs/print.ts';
import type { SessionOptions } from '../stream/session.ts';
import { awaitExit } from './await-exit.ts';
import { heedsTerm } from './heeds-term.ts';
import type { Interruption } from './interruption.ts';
import { typeIn } from './type-in.ts';

/** The exit code of timeout(1). */
const TIMED_OUT = 124;
/** In addition to the grace period of the container. */
const STOP_TIMEOUT_MS = 240_000;

/** A started container. */
export interface Started {
  id: string;
  logFile: string;
  session: SessionOptions;
  /** Time after which it is stopped; undefined: never. */
  seconds: number | undefined;
}

/**
 * Prints the output of a container and forwards input to it, until it exits or the operator detaches; signals stop it.
 * @returns its exit code, 124 after the timeout, or 'detached'. @throws CriError, and errors of reading the log.
 */
export async function follow(
  context: CliContext,
  server: ServerClient,
  { id, logFile, session, seconds }: Started,
  interruption: Interruption,
): Promise<number | 'detached'> {
  const over = new AbortController();
  const fail = (error: unknown) => {
    over.abort(error);
  };
  interruption.handTo((graceSeconds) => {
    if (graceSeconds > 0 && context.stderr.isTTY === true) {
      context.stderr.write('Stopping the container; press Ctrl-C again to kill it\n');
    }
    stop(server, id, graceSeconds).catch(fail);
  });
  const expired = new AbortController();
  const expire = () => {
    expired.abort();
    interruption.stop();
  };
  const timer = seconds === undefined ? undefined : setTimeout(expire, seconds * 1000);
  const end = new LogEnd();
  const printed = printLog(followLog(logFile, end), context);
  printed.catch(fail);
  const typing = session.stdin || session.tty ? typeIn(context, server, id, session, over.signal) : undefined;
  typing?.catch(fail);
  const detached = new Promise<'detached'>((resolve) => {
    void typing?.then((left) => left && resolve('detached')).catch(() => undefined);
  });
  const exited = awaitExit(server, id, over.signal);
  try {
    const outcome = await Promise.race([exited, detached]);
    if (outcome === 'detached') return outcome;
    return expired.signal.aborted ? TIMED_OUT : outcome.exitCode;
  } finally {
    clearTimeout(timer);
    over.abort();
    await Promise.allSettled([exited, typing]); // restores the terminal
    end.end();
    await printed;
  }
}

/** Stops a container, without a grace period if it ignores SIGTERM. */
async function stop(server: ServerClient, containerId: string, graceSeconds: number): Promise<void> {
  const status = ContainerStatusRequest.create({ containerId, verbose: true });
  const waits = graceSeconds > 0 && (await heedsTerm(await server.call(RuntimeServiceService.containerStatus, status)));
  const request = StopContainerRequest.create({ containerId, timeout: BigInt(waits ? graceSeconds : 0) });
  const timeoutMs = graceSeconds * 1000 + STOP_TIMEOUT_MS;
  await server.call(RuntimeServiceService.stopContainer, request, { timeoutMs });
}
