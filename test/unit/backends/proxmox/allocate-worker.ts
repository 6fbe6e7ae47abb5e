// A server of one node, as a process: gives VMIDs to pods on a cluster that is a directory, and prints them.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VmidAllocator } from '../../../../src/backends/proxmox/guests/vmid-allocator.ts';
import { VmidMap } from '../../../../src/backends/proxmox/guests/vmid-map.ts';
import { silent } from './silent.ts';

const [cluster = '', node = '', first, size, count] = process.argv.slice(2);
const conf = (vmid: number): string => join(cluster, `${vmid}.conf`);

const allocator = new VmidAllocator({
  range: { first: Number(first), size: Number(size) },
  field: 'vmids',
  map: await VmidMap.open(join(cluster, node, 'vmids.json')),
  tracer: {
    tracesOf: async (vmid) => {
      const owner = await readFile(conf(vmid), 'utf8').catch(() => undefined);
      return {
        ...(owner !== undefined && { guest: { node, owner } }),
        datasets: [],
        firewall: false,
        highAvailability: [],
        units: [],
        tasks: [],
      };
    },
  },
  logger: silent,
});

const vmids = Array.from({ length: Number(count) }, (_, pod) => {
  const owner = `${node}-${pod}`;
  return allocator.allocate(owner, (vmid) =>
    // As in /etc/pve: of two writers that want the file to be new, one has it.
    writeFile(conf(vmid), owner, { flag: 'wx' }).then(
      () => 'created',
      (error: unknown) => {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') return 'taken';
        throw error;
      },
    ),
  );
});
console.log(JSON.stringify(await Promise.all(vmids)));
