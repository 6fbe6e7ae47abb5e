// A server of one node, as a process: makes guests for pods on a simulated cluster.
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterTracer } from '../../../../src/backends/proxmox/guests/cluster-tracer.ts';
import { createGuest } from '../../../../src/backends/proxmox/guests/create-guest.ts';
import { VmidAllocator } from '../../../../src/backends/proxmox/guests/vmid-allocator.ts';
import { VmidMap } from '../../../../src/backends/proxmox/guests/vmid-map.ts';
import type { VmidRange } from '../../../../src/backends/proxmox/guests/vmid-ranges.ts';
import { Secret } from '../../../../src/integrations/proxmox-api/auth/secret.ts';
import { connectProxmox } from '../../../../src/integrations/proxmox-api/client.ts';
import { AmbiguousOutcomeError } from '../../../../src/integrations/proxmox-api/errors/proxmox-error.ts';
import { silent } from './silent.ts';

/** What the process reads from its input, as JSON. */
export interface WorkerInput {
  host: string;
  fingerprint: string;
  token: string;
  node: string;
  range: VmidRange;
  /** Path of the map. */
  path: string;
  owners: string[];
  /** After so many guests it kills itself, amid the others; never when absent. */
  killedAfter?: number;
}

const { host, fingerprint, token, node, range, path, owners, killedAfter } = JSON.parse(
  await text(process.stdin),
) as WorkerInput;
const api = await connectProxmox({
  hosts: [host],
  trust: { fingerprints: [fingerprint] },
  credentials: { kind: 'token', secret: new Secret(token.replace('PVEAPIToken=', '')) },
});
const map = await VmidMap.open(path);
const tracer = new ClusterTracer(api, node, 'local', () => Promise.resolve([]));
const allocator = new VmidAllocator({ range, field: `vmids.${node}`, map, tracer, logger: silent });

// What an earlier process was making is kept; a guest that is not whole yet is waited for.
for (; ; await sleep(10)) {
  for (const stray of await allocator.settle()) await allocator.confirm(stray);
  if (map.entries().every(([, { state }]) => state === 'used')) break;
}
const made = new Set(map.entries().map(([, { owner }]) => owner));

const settings = { ostemplate: 'local:vztmpl/a.tar.gz', rootfs: 'local:0', unprivileged: true, memory: 64 };
let count = 0;
const isUncertain = (error: unknown): boolean => error instanceof AmbiguousOutcomeError;
await Promise.all(
  owners
    .filter((owner) => !made.has(owner))
    .map(async (owner) => {
      const creation = { api, isUncertain, node, kind: 'lxc', owner, settings } as const;
      await allocator.allocate(owner, (vmid) => createGuest(vmid, creation));
      // By itself: another process may be late on a busy machine, when all are made.
      if (++count === killedAfter) process.kill(process.pid, 'SIGKILL');
    }),
);
await api.close();
