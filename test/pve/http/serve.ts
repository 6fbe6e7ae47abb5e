import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Call } from '../api/method.ts';
import { checkPermission } from '../api/permission.ts';
import { parametersIn, pathParameters, type Route, type Router } from '../api/router.ts';
import { checkParameters } from '../api/params/check.ts';
import { nameOf, type Identity } from '../state/access.ts';
import type { ClusterState } from '../state/cluster-state.ts';
import type { Worker } from '../state/tasks.ts';
import { answerError, answerOf, send, type Answer } from './answer.ts';
import { ApiError, badParameters, fault, notImplemented } from './api-error.ts';
import { authenticate } from './authenticate.ts';
import { readParameters, type Parameters } from './request.ts';

const prefix = '/api2/json';
/** Requests that one connection may carry. */
const perConnection = 100;
const verbs = new Set(['GET', 'POST', 'PUT', 'DELETE']);

/** Thrown where a fault drops the connection. */
class Dropped extends Error {}

/** Answers the requests that one node of a cluster gets. */
export class NodeService {
  readonly #state: ClusterState;
  readonly #router: Router;
  readonly #node: string;
  readonly #served = new WeakMap<Socket, number>();

  constructor(state: ClusterState, router: Router, node: string) {
    this.#state = state;
    this.#router = router;
    this.#node = node;
  }

  /** Answers one request; never throws. */
  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: Answer;
    try {
      answer = await this.#answer(request);
    } catch (error) {
      if (error instanceof Dropped) {
        request.socket.destroy();
        return;
      }
      // Guessing secrets is slow on purpose.
      if (error instanceof ApiError && error.status === 401) await this.#state.pause(3000);
      answer = answerError(error);
    }
    const served = (this.#served.get(request.socket) ?? 0) + 1;
    this.#served.set(request.socket, served);
    send(response, answer, {
      gzip: /\bgzip\b/.test(request.headers['accept-encoding'] ?? ''),
      last: served >= perConnection,
    });
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const verb = request.method ?? '';
    if (!verbs.has(verb)) throw new ApiError(501, `method '${verb}' not available`);
    const [raw = '', ...query] = (request.url ?? '').split('?');
    const whole = decodeURIComponent(raw);
    if (!whole.startsWith(prefix)) throw new ApiError(404, `no such file '${whole}'`);
    const path = whole.slice(prefix.length) || '/';
    this.#state.requests.push(`${verb} ${path}`);
    await this.#faults('before', verb, path);
    const who = authenticate(this.#state, request, path);
    const parameters = await readParameters(request, query.join('?'));
    const route = this.#router.find(verb, path);
    if (route === undefined) throw notImplemented(verb, path);
    const returned = await this.#call(route, who, parameters);
    if (verb !== 'GET') this.#state.save();
    await this.#faults('after', verb, path);
    return answerOf(returned, route.method.protected === true);
  }

  async #call({ method, path }: Route, who: Identity, { values, upload }: Parameters): Promise<unknown> {
    const state = this.#state;
    for (const [name, value] of Object.entries(path)) {
      const other = values[name];
      if (other !== undefined && other !== value && other !== Number(value)) {
        throw badParameters({ [name]: 'duplicate parameter (already defined in URI) with conflicting values' });
      }
    }
    const given = { ...values, ...path };
    if (method.noToken === true && who.token !== undefined) throw new ApiError(403, 'API tokens are not allowed');
    checkPermission(method.permission, { state, who, params: given });
    const node = this.#nodeOf(path);
    const schema = {
      ...method.parameters,
      ...Object.fromEntries(parametersIn(method.path).map((name) => [name, pathParameters[name]!])),
    };
    const params = checkParameters(schema, given, state.release);
    const fork = (type: string, id: string, work: (worker: Worker) => Promise<void>): string =>
      state.tasks.start(node, type, id, nameOf(who), (worker) => this.#work(type, id, work, worker));
    const call: Call = { state, who, node, params, upload, fork };
    return method.handle(call);
  }

  #nodeOf(path: Readonly<Record<string, string>>): string {
    const node = path['node'];
    if (node === undefined || node === 'localhost') return this.#node;
    if (this.#state.down.has(node)) throw new ApiError(595, 'No route to host');
    if (this.#state.nodes.includes(node)) return node;
    throw fault(
      `hostname lookup '${node}' failed - failed to get address info for: ${node}: Temporary failure in name resolution`,
    );
  }

  async #work(type: string, id: string, work: (worker: Worker) => Promise<void>, worker: Worker): Promise<void> {
    const { faults } = this.#state;
    const facts = { type, ...(/^\d+$/.test(id) ? { vmid: Number(id) } : {}) };
    const delay = faults.take('task-delay', facts);
    if (delay !== undefined) await sleep(delay.milliseconds);
    if (faults.take('task-hold', facts) !== undefined) await faults.held();
    const before = faults.take('task-fail', facts, 'before');
    if (before !== undefined) throw fault(before.message);
    await work(worker);
    const after = faults.take('task-fail', facts, 'after');
    if (after !== undefined) throw fault(after.message);
  }

  async #faults(when: 'before' | 'after', method: string, path: string): Promise<void> {
    const { faults } = this.#state;
    const facts = { method, path };
    const slow = when === 'after' ? faults.take('slow-answer', facts) : undefined;
    // An answer that nobody waits for any more must not keep the process.
    if (slow !== undefined) await sleep(slow.milliseconds, undefined, { ref: false });
    if (faults.take('drop', facts, when) !== undefined) throw new Dropped();
    const status = faults.take('status', facts, when);
    if (status !== undefined) throw new ApiError(status.status, status.reason);
  }
}
