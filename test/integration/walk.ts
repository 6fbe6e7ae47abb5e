import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ContainerState, RuntimeServiceService } from '../../api/gen/cri.ts';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import type { Fault } from '../fixtures/faults/fault-points.ts';
import { eventually } from '../lib/eventually.ts';
import { contradictions } from './kills-reality.ts';
import { difference, inventory } from './leaks.ts';
import type { ServerFixture } from './server-fixture.ts';
import type { Faults } from './walk-faults.ts';
import type { Stage, Visit } from './walk-stages.ts';

/** Codes for errors of the caller, or without meaning: no failure of the machine may have them. */
const MISLEADING = new Set<StatusCode>([
  StatusCode.INVALID_ARGUMENT,
  StatusCode.NOT_FOUND,
  StatusCode.UNIMPLEMENTED,
  StatusCode.PERMISSION_DENIED,
  StatusCode.UNAUTHENTICATED,
]);
/** A repeat may fail, too, while the first attempt is still rolled back. */
const REPEATS = 3;

/** Directories that the first pull and the first commit make, and a start of the server removes. */
const TEMPORARY = /\/(content\/incoming|root\/export)$/;

/** Milliseconds after which a contradiction or leftover is final. */
const LIMIT_MS = Number(process.env['WALK_LIMIT_MS'] ?? 60_000);

/** Milliseconds after which a call that is neither held nor ended waits for another one. */
const REACH_MS = LIMIT_MS / 2;

/** The result of one fault. */
export interface Outcome {
  /** Whether the point was passed. */
  struck: boolean;
  problems: string[];
}

/** What a handler has beside the machine's own objects. */
export interface Elsewhere {
  /** Lines for the {@link inventory}. */
  inventory: () => Promise<string[]>;
  /** Lines for the {@link contradictions}. */
  contradictions: () => Promise<string[]>;
}

const NOWHERE: Elsewhere = { inventory: () => Promise.resolve([]), contradictions: () => Promise.resolve([]) };

/** Takes one server past its points. */
export class Walk {
  readonly #server: ServerFixture;
  readonly #faults: Faults;
  readonly #handler: string;
  readonly #elsewhere: Elsewhere;
  /** What must exist after each step. */
  #before: readonly string[] = [];
  #home = '';
  /** Id of a container that runs for the whole walk. */
  #lasting = '';

  private constructor(server: ServerFixture, faults: Faults, handler: string, elsewhere: Elsewhere) {
    this.#elsewhere = elsewhere;
    this.#server = server;
    this.#faults = faults;
    this.#handler = handler;
  }

  /** Creates a pod of the handler, which stays for the whole walk. */
  static async begin(server: ServerFixture, faults: Faults, handler: string, elsewhere = NOWHERE): Promise<Walk> {
    await server.warm();
    const walk = new Walk(server, faults, handler, elsewhere);
    await walk.#settle();
    return walk;
  }

  /** Id of the permanent pod; its name is `home`. */
  get home(): string {
    return this.#home;
  }

  async #settle(): Promise<void> {
    const { client } = this.#server;
    this.#home = await this.#server.pod('home', {}, this.#handler);
    const id = await this.#server.sh(this.#home, 'first', 'true');
    await this.#server.exit(id);
    await client.call(RuntimeServiceService.removeContainer, { containerId: id });
    this.#lasting = await this.#server.sh(this.#home, 'lasting', 'echo mine >/mark; echo ready; exec sleep 1000000');
    await this.#server.said('home', 'lasting', 'ready');
    // Background removal is still in progress.
    for (let last = ''; ; await sleep(200)) {
      this.#before = await this.#inventory();
      if (last === this.#before.join('\n')) return;
      last = this.#before.join('\n');
    }
  }

  /** The points that an RPC passes without a fault. */
  async record(stage: Stage): Promise<string[]> {
    const visit = await stage.prepare();
    await this.#faults.arm();
    await visit.call();
    const { passed } = await this.#faults.arm();
    await visit.check();
    await visit.clean();
    return passed;
  }

  /** Makes the RPC with the fault, and compares everything with the machine. */
  async visit(stage: Stage, fault: Fault): Promise<Outcome> {
    const problems: string[] = [];
    const note = noteIn(problems);
    const visit = await stage.prepare();
    const null0 = await nullDevice();
    await this.#faults.arm(fault);
    const struck = await this.#call(visit, fault, problems);
    await note('after the fault', () => this.#agree());
    await note('the container that runs', () => this.#lasts());
    await note('repeat', () => repeated(visit));
    await note('check', () => visit.check());
    await note('after the repeat', () => this.#agree());
    await note('clean-up', () => visit.clean());
    const left = await this.#left();
    if (left.length > 0) problems.push(`left: ${left.slice(0, 12).join('; ')}`);
    if ((await nullDevice()) !== null0) problems.push('/dev/null has changed');
    // Current leftovers do not count for the next fault.
    if (problems.length > 0) await this.#renew();
    return { struck, problems };
  }

  /**
   * Makes the RPC once for each of `points`, each call held before its point, and kills the server amid all of them: what
   * `die-before` does at each alone, for a fraction of the time. Points that are passed later in an RPC come first, so that no
   * call waits for a lock of one that is held.
   * @returns the points that were reached, and what is wrong afterwards.
   */
  async killAmid(stage: Stage, points: readonly string[]): Promise<{ reached: string[]; problems: string[] }> {
    const problems: string[] = [];
    const reached: string[] = [];
    const note = noteIn(problems);
    const visits: Visit[] = [];
    while (visits.length < points.length) visits.push(await stage.prepare());
    const calls: Promise<unknown>[] = [];
    for (const [index, point] of points.entries()) {
      await this.#faults.arm({ point, how: 'hold', errno: 'EIO' }, index > 0);
      const call = visits[index]!.call({ timeoutMs: LIMIT_MS }).catch(() => undefined);
      calls.push(call);
      const ended = Promise.race([call, sleep(REACH_MS, undefined, { ref: false })]).then(() => false);
      if (await Promise.race([this.#faults.reached().then(() => true), ended])) reached.push(point);
    }
    await this.#server.end('SIGKILL');
    await Promise.all(calls);
    await this.#server.start();
    await note('after the kill', () => this.#agree());
    await note('the container that runs', () => this.#lasts());
    for (const visit of visits) await note('repeat', () => repeated(visit));
    for (const visit of visits) await note('check', () => visit.check());
    await note('after the repeats', () => this.#agree());
    for (const visit of visits) await note('clean-up', () => visit.clean());
    const left = await this.#left();
    if (left.length > 0) problems.push(`left: ${left.slice(0, 12).join('; ')}`);
    if (problems.length > 0) await this.#renew();
    return { reached, problems };
  }

  async #call(visit: Visit, fault: Fault, problems: string[]): Promise<boolean> {
    if (fault.how === 'hold') return this.#callTwice(visit);
    const error = await visit.call({ timeoutMs: LIMIT_MS }).then(
      () => undefined,
      (failure: unknown) => failure ?? 'nothing',
    );
    if (fault.how.startsWith('die')) {
      // If the point was not passed, the server is killed after the call.
      await this.#server.end('SIGKILL');
      await this.#server.start();
      return error !== undefined;
    }
    const { hits } = await this.#faults.arm();
    if (error !== undefined) problems.push(...untruthful(error));
    return hits > 0;
  }

  /** The client gives up on a call that hangs, and repeats it; then the first one continues. */
  async #callTwice(visit: Visit): Promise<boolean> {
    const controller = new AbortController();
    const settled = (call: Promise<unknown>) => call.catch(() => undefined);
    const first = settled(visit.call({ timeoutMs: LIMIT_MS, signal: controller.signal }));
    const held = await Promise.race([this.#faults.reached().then(() => true), first.then(() => false)]);
    if (held) {
      controller.abort();
      const second = settled(visit.call({ timeoutMs: LIMIT_MS }));
      await this.#faults.arm();
      await second;
    }
    await first;
    await this.#faults.arm();
    return held;
  }

  async #inventory(): Promise<string[]> {
    return [...(await inventory(this.#server)), ...(await this.#elsewhere.inventory())].sort();
  }

  async #renew(): Promise<void> {
    await this.#server.clear().catch(() => undefined);
    await this.#server.end('SIGKILL');
    await this.#server.start();
    await this.#server.clear();
    await this.#settle();
  }

  async #left(): Promise<string[]> {
    const deadline = performance.now() + LIMIT_MS;
    for (;;) {
      const left = difference(this.#before, await this.#inventory()).filter((line) => !TEMPORARY.test(line));
      if (left.length === 0 || performance.now() > deadline) return left;
      await sleep(50);
    }
  }

  /** @throws Error unless the lasting container runs and has its file. */
  async #lasts(): Promise<void> {
    const { state } = await this.#server.status(this.#lasting);
    if (state !== ContainerState.CONTAINER_RUNNING) throw new Error(`state ${String(state)}`);
    const { stdout } = await this.#server.exec(this.#lasting, 'cat', '/mark');
    if (stdout.toString() !== 'mine\n') throw new Error(`its file is ${JSON.stringify(stdout.toString())}`);
  }

  async #agree(): Promise<void> {
    let found: string[] = [];
    const begun = performance.now();
    await eventually('agreement', async () => {
      found = [...(await contradictions(this.#server)), ...(await this.#elsewhere.contradictions())];
      return found.length === 0 || performance.now() - begun > LIMIT_MS;
    });
    if (found.length > 0) throw new Error(found.join('; '));
  }
}

/** Performs a task and notes its failure. */
function noteIn(problems: string[]) {
  return async (what: string, task: () => Promise<unknown>): Promise<void> => {
    await task().catch((error: unknown) => problems.push(`${what}: ${wordsOf(error)}`));
  };
}

async function repeated(visit: Visit): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await visit.call({ timeoutMs: LIMIT_MS });
      return;
    } catch (error) {
      if (tries === REPEATS) throw error;
    }
  }
}

/** What is wrong with the error that a fault of the machine has caused. */
function untruthful(error: unknown): string[] {
  if (!(error instanceof CriError)) return [`no error of the server: ${wordsOf(error)}`];
  if (error.code === StatusCode.DEADLINE_EXCEEDED) return [`no answer in time: ${error.message}`];
  if (MISLEADING.has(error.code)) return [`misleading code ${String(error.code)}: ${error.message}`];
  if (/TypeError|undefined|\n {4}at /.test(error.message)) return [`an error of the program: ${error.message}`];
  return [];
}

async function nullDevice(): Promise<string> {
  const { mode, rdev, uid, gid } = await stat('/dev/null');
  return [mode, rdev, uid, gid].join(' ');
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
