import type { Logger } from '../core/model/logger.ts';
import { messageOf } from '../utils/errors.ts';
import { findNative } from './native/find.ts';
import { run } from './processes/run.ts';

/** Milliseconds for one message. */
const SEND_MS = 10_000;

/**
 * The service manager that started this process, if any: it learns when the server is ready, that it is alive, and that it
 * ends (sd_notify(3), sd_watchdog_enabled(3)). A message that cannot be sent is logged.
 */
export class ServiceManager {
  readonly #socket: string | undefined;
  readonly #watchdogMs: number;
  readonly #logger: Logger;
  #timer: NodeJS.Timeout | undefined;
  /** Messages keep their order. */
  #last: Promise<void> = Promise.resolve();

  /** Takes the variables of the service manager out of `env`: programs that inherit them would speak for this server. */
  constructor(logger: Logger, env: NodeJS.ProcessEnv = process.env) {
    this.#logger = logger;
    const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: period, WATCHDOG_PID: pid = String(process.pid) } = env;
    delete env['NOTIFY_SOCKET'];
    delete env['WATCHDOG_USEC'];
    delete env['WATCHDOG_PID'];
    this.#socket = socket === '' ? undefined : socket;
    this.#watchdogMs = pid === String(process.pid) ? Number(period ?? 0) / 1000 : 0;
  }

  /** Reports that the server is ready, and from then on, twice in the watchdog's period, that it is alive, with `status` as one line. */
  async ready(status: () => string): Promise<void> {
    await this.#send(['READY=1', `STATUS=${status()}`]);
    if (this.#socket === undefined || this.#watchdogMs <= 0 || this.#timer !== undefined) return;
    this.#timer = setInterval(() => void this.#send(['WATCHDOG=1', `STATUS=${status()}`]), this.#watchdogMs / 2);
    this.#timer.unref();
  }

  /** Reports that the server shuts down. The watchdog goes on: a shutdown that hangs is one as well. */
  async stopping(): Promise<void> {
    await this.#send(['STOPPING=1', 'STATUS=Shutting down; containers keep running']);
  }

  #send(lines: readonly string[]): Promise<void> {
    const socket = this.#socket;
    if (socket === undefined) return Promise.resolve();
    const message = ['notify', socket, String(process.pid), lines.join('\n')];
    this.#last = this.#last
      .then(() => run(findNative(), message, { holds: 'nothing', timeoutMs: SEND_MS }))
      .then(
        () => undefined,
        (error: unknown) => {
          this.#logger.warn('Notifying the service manager failed', { error: messageOf(error) });
        },
      );
    return this.#last;
  }
}
