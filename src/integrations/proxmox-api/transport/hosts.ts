import { isIP } from 'node:net';
import { type buildConnector, Pool } from 'undici';
import { invalidArgument } from '../../../core/model/errors.ts';
import { isLostAnswer } from '../errors/table.ts';
import { type Answer, exchange, type Exchange, ExchangeError } from './exchange.ts';
import { pause } from '../pause.ts';

const PORT = 8006;
/** The server closes an idle connection after 5 s; a request must not meet that moment. */
const KEEP_ALIVE_MS = 3_000;
/** The server answers this many requests on a connection (pve-http-server, AnyEvent.pm). */
const REQUESTS_A_CONNECTION = 100;
/** The list of all guests of a large cluster is far below it. */
const MAX_ANSWER = 64 * 1024 * 1024;

export interface HostsOptions {
  /** `name`, `address`, `[address]`, each with an optional `:port`, 8006 by default; the first is preferred. */
  hosts: readonly string[];
  connector: buildConnector.connector;
  /** Maximum connections to one host. */
  connections: number;
  /** How often each host is tried, and the milliseconds between two rounds. */
  rounds?: number;
  pauseMs?: number;
}

interface Host {
  name: string;
  pool: Pool;
}

/**
 * The hosts of a cluster, each of which answers for all nodes. The one that answered last is asked first; another is asked
 * where that is safe: for what changes nothing, or when nothing of the request was delivered.
 */
export class Hosts {
  readonly #hosts: readonly Host[];
  readonly #rounds: number;
  readonly #pauseMs: number;
  #preferred = 0;

  /** @throws CriError INVALID_ARGUMENT for no host or a malformed one. */
  constructor({ hosts, connector, connections, rounds = 2, pauseMs = 250 }: HostsOptions) {
    if (hosts.length === 0) throw invalidArgument('hosts', 'name at least one host of the cluster');
    this.#rounds = rounds;
    this.#pauseMs = pauseMs;
    this.#hosts = hosts.map((host) => {
      const origin = originOf(host);
      return {
        name: new URL(origin).host,
        pool: new Pool(origin, {
          connect: connector,
          connections,
          pipelining: 1,
          keepAliveTimeout: KEEP_ALIVE_MS,
          keepAliveMaxTimeout: KEEP_ALIVE_MS,
          maxRequestsPerClient: REQUESTS_A_CONNECTION,
          maxResponseSize: MAX_ANSWER,
          // The time limit of each call rules.
          headersTimeout: 0,
          bodyTimeout: 0,
        }),
      };
    });
  }

  /**
   * The answer of the first host that gives one.
   * @throws HostsError when none does, or when the request may have been carried out without an answer.
   */
  async send(request: Exchange): Promise<Answer> {
    const isSafe = request.method === 'GET';
    const failures = new Map<string, string>();
    const attempts = this.#hosts.length * this.#rounds;
    const first = this.#preferred;
    for (let attempt = 1; ; attempt++) {
      const index = (first + attempt - 1) % this.#hosts.length;
      const host = this.#hosts[index];
      if (!host) throw new RangeError(`no host ${index}`);
      const isLast = attempt >= attempts;
      try {
        const answer = await exchange(host.pool, request);
        const isLost = isLostAnswer(answer.status);
        if (isLost) this.#avoid(index);
        if (!isLost || !isSafe || isLast) return answer;
        failures.set(host.name, `status ${answer.status} ${answer.reason}`);
      } catch (error) {
        if (!(error instanceof ExchangeError)) throw error;
        failures.set(host.name, error.message);
        const isOver = request.signal?.aborted === true || (error.wasSent && !isSafe);
        // A host that let the whole time pass is not asked twice.
        if (isOver || isLast || (error.isTimeout && attempt >= this.#hosts.length)) {
          this.#avoid(index);
          throw new HostsError(error, failures);
        }
      }
      this.#avoid(index);
      if (attempt % this.#hosts.length === 0) {
        await pause(this.#pauseMs, request.signal).catch(() => undefined);
      }
    }
  }

  /** Ends all connections; calls in flight fail. */
  async close(): Promise<void> {
    await Promise.all(this.#hosts.map(({ pool }) => pool.destroy()));
  }

  #avoid(index: number): void {
    if (this.#preferred === index) this.#preferred = (index + 1) % this.#hosts.length;
  }
}

/** No host gave an answer. `failure` is the last one, `hosts` names all. */
export class HostsError extends Error {
  readonly failure: ExchangeError;
  readonly hosts: string;

  constructor(failure: ExchangeError, failures: ReadonlyMap<string, string>) {
    const hosts = [...failures].map(([name, why]) => `${name}: ${why}`).join('; ');
    super(hosts);
    this.name = 'HostsError';
    this.failure = failure;
    this.hosts = hosts;
  }
}

/** @throws CriError INVALID_ARGUMENT for anything but a host with an optional port. */
function originOf(host: string): string {
  const address = isIP(host) === 6 ? `[${host}]` : host;
  let url: URL | undefined;
  try {
    url = new URL(`https://${address}`);
  } catch {
    // Refused below.
  }
  if (url?.pathname !== '/' || url.search || url.hash || url.username || url.password || address.endsWith('/')) {
    throw invalidArgument('hosts', `${JSON.stringify(host)} is not a host name or address with an optional port`);
  }
  // A URL leaves out the port 443 also where it was named.
  const port = url.port || (address.endsWith(':443') ? 443 : PORT);
  return `https://${url.hostname}:${port}`;
}
