import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { ServerFixture } from './server-fixture.ts';

/** What may be killed beside the server: processes of single pods. */
export const KINDS = ['conmon', 'monitor', 'pause', 'crun', 'cni'] as const;
export type Kind = (typeof KINDS)[number];

/** A process and the pod that it belongs to. */
export interface Victim {
  pid: number;
  /** Name of the pod, and its id. */
  pod: string;
  podId: string;
}

/**
 * The masquerading chain that the bridge plugin creates for a pod. A killed plugin leaves it forever: the next DEL
 * finds no interface and returns before it removes the rules.
 */
export function bridgeChain(network: string, podId: string): string {
  return `CNI-${createHash('sha512')
    .update(network + podId)
    .digest('hex')
    .slice(0, 24)}`;
}

/** The living processes of a kind, except those of unknown pods. */
export async function victims(server: ServerFixture, kind: Kind): Promise<Victim[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found: Victim[] = [];
  for (const pid of pids) {
    const texts = await read(pid, 'cmdline');
    const cgroup = await read(pid, 'cgroup');
    const environ = kind === 'cni' ? await read(pid, 'environ') : '';
    if (!isOf(kind, texts, cgroup, environ, server)) continue;
    const pod = await podOf(server, `${texts} ${environ} ${cgroup}`);
    if (pod !== undefined) found.push({ pid: Number(pid), ...pod });
  }
  return found;
}

function isOf(kind: Kind, command: string, cgroup: string, environ: string, server: ServerFixture): boolean {
  const program = basename(command.split('\0', 1)[0] ?? '');
  switch (kind) {
    case 'conmon':
    case 'crun':
      return program === kind;
    case 'monitor':
      return program === 'lxc-start';
    case 'pause':
      return (program === 'init' || program === 'catatonit') && cgroup.includes(server.cgroup);
    case 'cni':
      return /(^|\0)CNI_CONTAINERID=[0-9a-f]{64}\0/.test(environ);
  }
}

/** The pod whose id a text contains, according to the records. */
async function podOf(server: ServerFixture, text: string): Promise<{ pod: string; podId: string } | undefined> {
  for (const [id] of text.matchAll(/[0-9a-f]{64}/g)) {
    const container = await record(server, 'containers', id);
    const podId = container?.sandboxId ?? id;
    const name = (await record(server, 'sandboxes', podId))?.spec?.metadata?.name;
    if (name !== undefined) return { pod: name, podId };
  }
  return undefined;
}

async function record(
  server: ServerFixture,
  kind: string,
  id: string,
): Promise<{ sandboxId?: string; spec?: { metadata?: { name?: string } } } | undefined> {
  try {
    const text = await readFile(join(server.directory, 'root', kind, `${id}.json`), 'utf8');
    return (JSON.parse(text) as { record: object }).record;
  } catch {
    return undefined;
  }
}

function read(pid: string, file: string): Promise<string> {
  return readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
}
