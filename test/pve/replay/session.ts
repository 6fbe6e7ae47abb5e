import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent, request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hashPassword } from '../api/access/session.ts';
import { startCluster, type SimulatedCluster } from '../cluster.ts';
import { lxc } from '../config/kind.ts';
import type { Certificate } from '../http/certificate.ts';
import { differences, fileDifferences, plainLine } from './compare.ts';
import { archive, parseCurl, type CurlRequest } from './curl.ts';
import { exceptionOf } from './exceptions.ts';
import { presume, presumptions } from './presumed.ts';
import { isFileView, titleOf, type Exchange } from './transcript.ts';

/** What came of the exchanges of one transcript. */
export interface Outcome {
  replayed: number;
  /** Titles with the reasons. */
  readonly excepted: [title: string, reason: string][];
  readonly failures: string[];
}

interface Received {
  readonly status: number;
  readonly reason: string;
  readonly body: string;
}

const password = 'secret123';
const role =
  'VM.Allocate VM.Audit VM.Clone VM.Config.CPU VM.Config.Disk VM.Config.Memory VM.Config.Network VM.Config.Options VM.Console VM.PowerMgmt VM.Snapshot VM.Migrate Datastore.AllocateSpace Datastore.AllocateTemplate Datastore.Audit SDN.Use Sys.Audit Pool.Audit';

/** Plays the exchanges of one transcript against a cluster of its own. */
class Replay {
  readonly #cluster: SimulatedCluster;
  readonly #exchanges: readonly Exchange[];
  readonly #agent: Agent;
  /** Actual UPIDs by recorded ones. */
  readonly #upids = new Map<string, string>();
  /** Secrets of tokens, by name, as they were first issued. */
  readonly #secrets = new Map<string, string>();
  #ticket = '';
  readonly outcome: Outcome = { replayed: 0, excepted: [], failures: [] };

  constructor(cluster: SimulatedCluster, exchanges: readonly Exchange[], agent: Agent) {
    this.#cluster = cluster;
    this.#exchanges = exchanges;
    this.#agent = agent;
  }

  async run(): Promise<Outcome> {
    await this.#prepare();
    for (const exchange of this.#exchanges) {
      await this.#disturb(exchange);
      const reason = exceptionOf(exchange);
      if (reason !== undefined) {
        this.outcome.excepted.push([titleOf(exchange), reason]);
        // What a create that is not recorded whole left behind is there all the same.
        if (exchange.request.endsWith('(concurrent)') && exchange.status === 200)
          await this.#createUnrecorded(exchange);
        continue;
      }
      const found = isFileView(exchange) ? this.#compareFile(exchange) : await this.#exchange(exchange);
      this.outcome.replayed += 1;
      this.outcome.failures.push(...found.map((difference) => `${titleOf(exchange)}\n    ${difference}`));
    }
    return this.outcome;
  }

  async #prepare(): Promise<void> {
    const { state } = this.#cluster;
    const { user = this.#exchanges.length === 1 ? 'granted' : 'absent' } = presumptions[this.#exchanges[0]!.file] ?? {};
    const { store } = state;
    if (user !== 'absent')
      store.users['cri@pve'] = { enable: 1, expire: 0, comment: 'x', password: hashPassword(password) };
    if (user === 'role' || user === 'granted') store.roles['CRI'] = role.split(' ');
    if (user === 'pool')
      store.acl.push({ path: '/pool/k8s', type: 'user', ugid: 'cri@pve', roleid: 'PVEPoolUser', propagate: 0 });
    if (user === 'granted') store.acl.push({ path: '/', type: 'user', ugid: 'cri@pve', roleid: 'CRI', propagate: 1 });
    if (this.#exchanges[0]!.request.startsWith('POST /access/roles')) delete store.roles['CRI'];
    const templates = ['mini.tar.gz', ...(this.#exchanges[0]!.file.startsWith('adopt') ? ['empty.tar.gz'] : [])];
    for (const name of templates) await writeFile(state.volumes.target('local', 'vztmpl', name), archive);
    await presume(this.#cluster, this.#exchanges);
    this.#ticket = state.tickets.issue('cri@pve');
    this.#seedTasks();
  }

  /** Adds the tasks that the transcript shows and that none of its requests started. */
  #seedTasks(): void {
    const started = new Set(
      this.#exchanges.flatMap(({ request, body }) =>
        request.startsWith('GET') ? [] : (body.match(/UPID:[^"]+:/g) ?? []),
      ),
    );
    const found = new Map<string, { end: number; exit: string; log: string[] }>();
    for (const { request, body, status } of this.#exchanges) {
      const inPath = /\/tasks\/(UPID:[^/?]+)/.exec(request)?.[1];
      if (status !== 200 || (inPath === undefined && !/^GET \/(?:nodes\/pve1|cluster)\/tasks/.test(request))) continue;
      if (inPath !== undefined && !started.has(inPath) && !body.includes('unable to open file')) {
        const { data } = (body.startsWith('{') ? JSON.parse(body) : {}) as { data?: { t: string }[] };
        const before = found.get(inPath) ?? { end: 0, exit: 'OK', log: [] };
        const log = request.endsWith('/log') && Array.isArray(data) ? data.map(({ t }) => t) : before.log;
        found.set(inPath, { ...before, log });
      } else if (inPath === undefined) {
        for (const task of (JSON.parse(body) as { data: { upid: string; endtime?: number; status: string }[] }).data) {
          if (!started.has(task.upid) && !found.has(task.upid))
            found.set(task.upid, { end: task.endtime ?? 0, exit: task.status, log: [] });
        }
      }
    }
    for (const [upid, { exit, log }] of [...found].reverse().sort(([, a], [, b]) => a.end - b.end)) {
      this.#cluster.state.tasks.seed(upid, exit, log);
    }
  }

  async #disturb(exchange: Exchange): Promise<void> {
    for (const [when, disturb] of presumptions[exchange.file]?.before ?? []) {
      const now =
        typeof when === 'number'
          ? when === exchange.number
          : [exchange.request, ...exchange.remarks].some((text) => when.test(text));
      const send = async (verb: string, path: string, form = ''): Promise<void> => {
        await this.#send({
          credentials: '',
          verb,
          path,
          body: Buffer.from(form),
          type: 'application/x-www-form-urlencoded',
        });
      };
      if (now) await disturb({ cluster: this.#cluster, send });
    }
  }

  async #createUnrecorded({ body }: Exchange): Promise<void> {
    const form =
      'vmid=411&ostemplate=local:vztmpl/mini.tar.gz&rootfs=local:0&ostype=unmanaged&unprivileged=0&memory=64';
    const { body: answer } = await this.#send({
      credentials: '',
      verb: 'POST',
      path: '/nodes/pve1/lxc',
      body: Buffer.from(form),
      type: 'application/x-www-form-urlencoded',
    });
    this.#note(JSON.parse(body), JSON.parse(answer));
  }

  #compareFile({ request, body }: Exchange): string[] {
    const vmid = Number(/\/lxc\/(\d+)\.conf$/.exec(request)![1]);
    const actual = this.#cluster.state.guests.read({ node: 'pve1', kind: lxc, vmid });
    if (body.startsWith('cat:')) return actual === undefined ? [] : ['the file is still there'];
    return fileDifferences(actual ?? '', body);
  }

  async #exchange(exchange: Exchange): Promise<string[]> {
    const wanted = parseCurl(exchange.request, this.#exchanges.length > 1);
    const path = wanted.path.replace(/UPID:[^/?]+/, (upid) => this.#upids.get(upid) ?? upid);
    // Tasks of the recording had ended when they were asked for, unless their state says otherwise.
    if (wanted.verb === 'GET' && !/"status":"running"|no content/.test(exchange.body)) {
      await this.#cluster.state.tasks.ended(/UPID:[^/?]+/.exec(path)?.[0] ?? '');
    }
    const received = await this.#send({ ...wanted, path });
    const found: string[] = [];
    if (received.status !== exchange.status)
      found.push(`status ${received.status} instead of ${exchange.status!}: ${received.body}`);
    if (plainLine(received.reason) !== plainLine(exchange.reason!))
      found.push(`reason '${received.reason}' instead of '${exchange.reason!}'`);
    if (!exchange.body.startsWith('{')) {
      if (plainLine(received.body.trim()) !== plainLine(exchange.body)) found.push(`body '${received.body}'`);
      return found;
    }
    const [actual, recorded] = [JSON.parse(received.body || 'null') as unknown, JSON.parse(exchange.body) as unknown];
    this.#note(recorded, actual);
    // A node's own figures are of no interest, but their names and kinds are.
    const shape = exchange.file === 'node-status.txt';
    found.push(...differences(shape ? kinds(actual) : actual, shape ? kinds(recorded) : recorded));
    return found;
  }

  /** Keeps what an answer issued: tasks, tickets, secrets. */
  #note(recorded: unknown, actual: unknown): void {
    const [r, a] = [recorded, actual].map((answer) => (answer as { data?: unknown } | null)?.data);
    if (typeof r === 'string' && r.startsWith('UPID:') && typeof a === 'string') this.#upids.set(r, a);
    if (typeof a !== 'object' || a === null) return;
    const { ticket, value, 'full-tokenid': name } = a as Record<string, string | undefined>;
    if (ticket !== undefined) this.#ticket = ticket;
    if (value !== undefined && name !== undefined && !this.#secrets.has(name)) this.#secrets.set(name, value);
  }

  #headers({ credentials, verb }: CurlRequest): Record<string, string> {
    const { state } = this.#cluster;
    if (credentials === 'no credentials') return {};
    const [, token, secret] = /^Authorization: (PVEAPIToken=[^=]*)=?(.*)$/.exec(credentials) ?? [];
    if (token !== undefined) {
      const issued = this.#secrets.get(token.replace('PVEAPIToken=', ''));
      return { authorization: `${token}=${secret!.startsWith('00000000') ? secret! : (issued ?? secret!)}` };
    }
    const [, cookie, csrf] = /^Cookie PVEAuthCookie=([^;]*); CSRFPreventionToken: ?(.*)$/.exec(credentials) ?? [];
    if (cookie !== undefined) {
      const ticket = cookie.includes(':00000000:') ? this.#ticket.replace(/:[0-9A-F]{8}:/, ':00000000:') : this.#ticket;
      const valid = csrf === '' || csrf === 'bad' ? csrf : state.tickets.csrf('cri@pve');
      return {
        cookie: `PVEAuthCookie=${encodeURIComponent(ticket)}`,
        ...(valid === '' ? {} : { csrfpreventiontoken: valid }),
      };
    }
    const named = /^token (\w+)$/.exec(credentials)?.[1];
    if (named !== undefined) {
      if (named === 'badtok') return { authorization: 'PVEAPIToken=cri@pve!t1=00000000-0000-0000-0000-000000000000' };
      return {
        authorization: named === 'rtok' ? this.#cluster.token('root@pam', 'cri') : this.#cluster.token('cri@pve', 't1'),
      };
    }
    const root = encodeURIComponent(state.tickets.issue('root@pam'));
    return {
      cookie: `PVEAuthCookie=${root}`,
      ...(verb === 'GET' ? {} : { csrfpreventiontoken: state.tickets.csrf('root@pam') }),
    };
  }

  #send(wanted: CurlRequest): Promise<Received> {
    const [{ url, authority }] = this.#cluster.nodes as [SimulatedCluster['nodes'][number]];
    // A ticket that was redacted stands for the one that was issued last.
    const body =
      wanted.body?.toString('latin1').includes('REDACTED') === true
        ? Buffer.from(wanted.body.toString().replace(/PVE%3A.*REDACTED/, encodeURIComponent(this.#ticket)))
        : wanted.body;
    const headers = {
      ...this.#headers(wanted),
      ...(wanted.type === undefined ? {} : { 'content-type': wanted.type }),
      ...(body === undefined ? {} : { 'content-length': String(body.length) }),
    };
    return new Promise((resolve, reject) => {
      const sent = httpsRequest(
        `${url}/api2/json${wanted.path}`,
        { method: wanted.verb, headers, ca: authority, agent: this.#agent },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () =>
            resolve({
              status: response.statusCode!,
              reason: response.statusMessage!,
              body: Buffer.concat(chunks).toString('utf8'),
            }),
          );
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  }
}

/** The value with every scalar replaced by its kind. */
function kinds(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(kinds);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, kinds(member)]));
  }
  return typeof value;
}

/**
 * Replays the exchanges of one transcript against a fresh cluster of one node.
 * @param keys directory with keys for tickets, so that not every cluster has to make its own
 */
export async function replay(exchanges: readonly Exchange[], certificate: Certificate, keys: string): Promise<Outcome> {
  const directory = await mkdtemp(join(tmpdir(), 'pve-replay-'));
  const agent = new Agent({ keepAlive: true });
  try {
    await mkdir(join(directory, 'etc'), { recursive: true });
    await cp(join(keys, 'etc/pve'), join(directory, 'etc/pve'), { recursive: true });
    await using cluster = await startCluster({ directory, certificate, statistics: false });
    return await new Replay(cluster, exchanges, agent).run();
  } finally {
    agent.destroy();
    await rm(directory, { recursive: true, force: true });
  }
}
