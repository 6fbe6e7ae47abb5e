import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PodSandboxStatusRequest, RuntimeServiceService } from '../../api/gen/cri.ts';
import { eventually } from '../lib/eventually.ts';
import type { GuestPods } from './proxmox-pods.ts';

/** Where the servers of these tests have their metrics. */
export const METRICS = '127.0.0.1:19291';
const NAME = /^proxmox_lxcri_(warm_pool_\w+)\{handler="proxmox-lxc",(?:state|outcome)="(\w+)"\} (\d+)$/gm;

/** Configuration of a server with a warm pool, and namespaces whose pods may choose settings. */
export function warmToml(size: number): string {
  return `[handlers.proxmox-lxc]\nannotation_namespaces = ["test"]\nwarm_pool_size = ${String(size)}\n`;
}

/** The figures of the pool, from the server's metrics. */
export async function figures(): Promise<Record<string, number>> {
  const text = await (await fetch(`http://${METRICS}/metrics`)).text();
  return Object.fromEntries([...text.matchAll(NAME)].map(([, , what = '', count]) => [what, Number(count)]));
}

/** The guests of the pool by their ids. */
export async function pooled(pods: GuestPods): Promise<Map<string, number>> {
  const entries = Object.entries(await pods.map()).filter(([, { owner }]) => owner.startsWith('warm-'));
  return new Map(entries.map(([vmid, { owner }]) => [owner, Number(vmid)]));
}

/** Waits until so many guests wait for pods, and nothing else is of the pool. */
export async function poolOf(pods: GuestPods, size: number): Promise<Map<string, number>> {
  let found = new Map<string, number>();
  await eventually(`${String(size)} guests in the pool`, async () => {
    found = await pooled(pods);
    const { ready } = await figures().catch(() => ({ ready: -1 }));
    return ready === size && found.size === size;
  });
  return found;
}

/** Verbose information of a pod. */
export async function infoOf(pods: GuestPods, podSandboxId: string): Promise<Record<string, unknown>> {
  const request = PodSandboxStatusRequest.create({ podSandboxId, verbose: true });
  const { info } = await pods.server.client.call(RuntimeServiceService.podSandboxStatus, request);
  return JSON.parse(info['info'] ?? '{}') as Record<string, unknown>;
}

/** Waits until nothing is left but the guests of the pool. @returns what is left all the same. */
export async function nothingElse(pods: GuestPods, size: number): Promise<string[]> {
  let left: string[] = [];
  await eventually('nothing but the pool', async () => {
    const pool = await pooled(pods);
    const own = [...pool.values()].map(String);
    const directories = await readdir(join(pods.server.directory, 'state/proxmox-lxc/.warm')).catch(() => []);
    // A directory may vanish while it is read.
    const all = await pods.left().catch(() => ['unknown']);
    left = all.filter((line) => !own.some((vmid) => line.split(/[ /]/).includes(vmid)));
    left.push(...directories.filter((name) => !pool.has(name)).map((name) => `directory ${name}`));
    if (pool.size !== size) left.push(`${String(pool.size)} guests in the pool`);
    return left.length === 0;
  }).catch(() => undefined);
  return left;
}

/** Ends the server, and removes every guest, whose configuration names files of the server. */
export async function endAll(pods: GuestPods): Promise<void> {
  await pods.server.end('SIGKILL');
  for (const vmid of pods.vmids()) await pods.act('DELETE', vmid, '?force=1');
}
