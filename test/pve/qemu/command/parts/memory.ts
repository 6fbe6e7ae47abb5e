import type { Draft } from '../draft.ts';
import { plugs, topology } from './cpu.ts';

/** Mebibytes of memory of a configuration. */
export function memoryOf(values: Readonly<Record<string, string>>): number {
  return Number(/\d+/.exec(values['memory'] ?? '')?.[0] ?? 512);
}

function range(first: number, count: number): string {
  return count > 1 ? `${first}-${first + count - 1}` : String(first);
}

/** The NUMA nodes that the configuration describes itself: memory in mebibytes, and CPUs as the option has them. */
function ownNodes(draft: Draft): { number: number; memory: number; cpus: string; binding: string }[] {
  return draft.numbers('numa').map((number) => {
    const { memory, cpus, hostnodes, policy } = draft.settings(`numa${number}`, '');
    if (memory === undefined) throw new Error(`missing NUMA node${number} memory value`);
    if (cpus === undefined) throw new Error(`missing NUMA node${number} cpus`);
    const nodes = hostnodes?.replaceAll(';', ',');
    if (nodes !== undefined && policy === undefined)
      throw new Error(`you need to define a policy for hostnode ${nodes}`);
    const binding = nodes === undefined ? '' : `,host-nodes=${nodes},policy=${policy!}`;
    return { number, memory: Number(memory), cpus: cpus.replaceAll(';', ',cpus='), binding };
  });
}

/** Adds the memory; directories that are shared with the guest need it to be shared, too. */
export function addMemory(draft: Draft): void {
  const { values } = draft;
  const total = memoryOf(values);
  const shared = draft.numbers('virtiofs').length > 0;
  if (plugs(values, 'memory')) throw new Error('memory that is plugged in is not part of the simulated node');
  draft.option('-m', String(total));
  if (values['numa'] !== '1') {
    if (!shared) return;
    draft.option('-object', `memory-backend-memfd,id=virtiofs-mem,size=${total}M,share=on`);
    draft.machineSettings.push('memory-backend=virtiofs-mem');
    return;
  }
  const { sockets, cores } = topology(values);
  const own = ownNodes(draft);
  const sum = own.reduce((all, { memory }) => all + memory, 0);
  if (own.length > 0 && sum !== total) throw new Error('total memory for NUMA nodes must be equal to vm static memory');
  const even = Array.from({ length: sockets }, (_, number) => ({
    number,
    memory: total / sockets,
    cpus: range(number * cores, cores),
    binding: '',
  }));
  for (const { number, memory, cpus, binding } of own.length > 0 ? own : even) {
    const id = `${shared ? 'virtiofs-mem' : 'ram-node'}${number}`;
    const kind = shared ? 'memory-backend-memfd' : 'memory-backend-ram';
    draft.option('-object', `${kind},id=${id},size=${memory}M${shared ? ',share=on' : ''}${binding}`);
    draft.option('-numa', `node,nodeid=${number},cpus=${cpus},memdev=${id}`);
  }
}
