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

/** What timeout(1) exits with. */
const TIMED_OUT = 124;
/** On top of the time the container is given. */
const STOP_TIMEOUT_MS = 240_000;

/** A started container. */
export interface Started {
  id: string;
  logFile: string;
  session: SessionOptions;
  /** When to stop it; undefined: never. */
  seconds: number | undefined;
}

/**
 * Prints the output of a container, and gives it input, until it has ended or the operator detaches; signals stop it.
 * @returns its exit code, 124 when its time was over, or 'detached'. @throws CriError, and what reading the log throws.
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
    await Promise.allSettled([exited, typing]); // the terminal is restored then
    end.end();
    await printed;
  }
}

/** Stops a container; one that cannot hear the request to end is not waited for. */
async function stop(server: ServerClient, containerId: string, graceSeconds: number): Promise<void> {
  const status = ContainerStatusRequest.create({ containerId, verbose: true });
  const waits = graceSeconds > 0 && (await heedsTerm(await server.call(RuntimeServiceService.containerStatus, status)));
  const request = StopContainerRequest.create({ containerId, timeout: BigInt(waits ? graceSeconds : 0) });
  const timeoutMs = graceSeconds * 1000 + STOP_TIMEOUT_MS;
  await server.call(RuntimeServiceService.stopContainer, request, { timeoutMs });
}
