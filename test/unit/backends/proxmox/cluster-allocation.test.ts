import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { ownerOf } from '../../../../src/backends/proxmox/guests/owner-mark.ts';
import { VmidMap } from '../../../../src/backends/proxmox/guests/vmid-map.ts';
import { loadGuest } from '../../../pve/config/guest.ts';
import { startCluster } from '../../../pve/cluster.ts';
import { makeCertificate } from '../../../pve/http/certificate.ts';
import type { WorkerInput } from './cluster-worker.ts';

const worker = fileURLToPath(import.meta.resolve('./cluster-worker.ts'));

/** Runs a worker to its end, or until it has made `killedAfter` guests. */
async function run(t: ExecutionContext, input: WorkerInput, killedAfter?: number): Promise<void> {
  const child = spawn(process.execPath, [worker], { stdio: ['pipe', 'inherit', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  child.stdin.end(JSON.stringify({ ...input, ...(killedAfter !== undefined && { killedAfter }) }));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  const wanted = killedAfter === undefined ? 0 : 'SIGKILL';
  if ((code ?? signal) !== wanted) throw new Error(`the worker of ${input.node} ended with ${code ?? signal}`);
}

/** Guests in two ranges. */
const GUESTS = Number(process.env['ALLOCATION_GUESTS'] ?? 40);

// In one range the creates of both nodes collide, which costs a look at each VMID from both.
for (const [title, second, pods] of [
  ['one range', 1000, Math.ceil(GUESTS / 16)],
  ['two ranges', 2000, GUESTS / 2],
] as const)
  test(`two nodes make ${2 * pods} guests in ${title}, one killed`, async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'allocation-'));
    t.teardown(() => rm(directory, { recursive: true }));
    const certificate = await makeCertificate('pve1');
    const cluster = await startCluster({ nodes: ['pve1', 'pve2'], certificate });
    t.teardown(() => cluster.close());
    const { state } = cluster;
    await writeFile(state.volumes.target('local', 'vztmpl', 'a.tar.gz'), 'archive');
    const token = cluster.token('root@pam', 'k8s');
    const inputs = cluster.nodes.map(({ name, url, fingerprint }, index): WorkerInput => ({
      host: new URL(url).host,
      fingerprint,
      token,
      node: name,
      range: { first: index === 0 ? 1000 : second, size: 2 * pods + 100 },
      path: join(directory, `${name}.json`),
      owners: Array.from({ length: pods }, (_, pod) => `${name}-${pod}`),
    }));
    const [one, two] = inputs as [WorkerInput, WorkerInput];
    await Promise.all([run(t, one, Math.ceil(pods / 5)).then(() => run(t, one)), run(t, two)]);

    const guests = state.guests.list();
    t.is(guests.length, 2 * pods);
    t.is(new Set(guests.map(({ vmid }) => vmid)).size, 2 * pods, 'no VMID twice');
    for (const { node, path, owners } of inputs) {
      const here = guests.filter((guest) => guest.node === node);
      const inCluster = here.map((ref) => [ref.vmid, ownerOf(loadGuest(state, ref).current.description)] as const);
      const inMap = (await VmidMap.open(path)).entries().map(([vmid, entry]) => [vmid, entry.owner] as const);
      t.deepEqual(inMap, inCluster, `map of ${node}`);
      t.deepEqual(inMap.map(([, owner]) => owner).sort(), [...owners].sort());
    }
    t.true(state.tasks.all().every(({ exit }) => exit === 'OK'));
  });
