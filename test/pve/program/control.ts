import { rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { kinds } from '../config/kind.ts';
import type { SimulatedCluster } from '../cluster.ts';
import type { ClusterState } from '../state/cluster-state.ts';
import type { Fault } from '../state/faults.ts';

/** What another writer does to a guest: `text` replaces its file, null removes it. */
interface GuestWrite {
  readonly node: string;
  readonly type: 'lxc' | 'qemu';
  readonly vmid: number;
  readonly text: string | null;
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks).toString('utf8');
  return body === '' ? {} : JSON.parse(body);
}

function writeGuest(state: ClusterState, { node, type, vmid, text }: GuestWrite): void {
  const kind = kinds.find((found) => found.type === type)!;
  if (text === null) state.guests.remove({ node, kind, vmid });
  else state.guests.write({ node, kind, vmid }, text);
}

type Action = (cluster: SimulatedCluster, body: never) => unknown;

const actions: Record<string, Action> = {
  'POST /faults': ({ state }, fault: Fault) => ({ id: state.faults.add(fault) }),
  'DELETE /faults': ({ state }) => state.faults.clear(),
  'POST /release': ({ state }) => state.faults.release(),
  'POST /guest': ({ state }, write: GuestWrite) => writeGuest(state, write),
  'POST /crash': ({ state }, { vmid }: { vmid: number }) => state.runtime.crash(vmid),
  'POST /pool': ({ state }, { pool, imported }: { pool: string; imported: boolean }) => {
    const others = (state.store.missingPools ?? []).filter((name) => name !== pool);
    state.store.missingPools = imported ? others : [...others, pool];
    state.save();
  },
  'POST /node': (cluster, { node, down }: { node: string; down: boolean }) => cluster.setDown(node, down),
  'POST /ignore-shutdown': ({ state }, { vmid, ignores }: { vmid: number; ignores: boolean }) =>
    state.runtime.ignoreShutdown(vmid, ignores),
};

/**
 * Serves the control interface on a Unix socket: HTTP with JSON bodies. `POST /faults` arms a fault, `DELETE /faults`
 * removes all, `POST /release` lets held tasks go on, `POST /guest` writes or removes a guest's file as another writer
 * does, `POST /crash` ends a guest, `POST /node` takes a node down or brings it back, `POST /ignore-shutdown` makes one deaf,
 * `POST /pool` has a noted pool of ZFS exported or imported.
 */
export async function serveControl(cluster: SimulatedCluster, socket: string): Promise<Server> {
  await rm(socket, { force: true });
  const answer = async (request: IncomingMessage): Promise<[number, unknown]> => {
    const action = actions[`${request.method ?? ''} ${request.url ?? ''}`];
    if (action === undefined) return [404, { error: `known are: ${Object.keys(actions).join(', ')}` }];
    try {
      return [200, (await action(cluster, (await readJson(request)) as never)) ?? {}];
    } catch (error) {
      return [400, { error: String(error) }];
    }
  };
  const server = createServer((request, response) => {
    void answer(request).then(([status, body]) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    });
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(socket, () => resolve(server));
  });
}
