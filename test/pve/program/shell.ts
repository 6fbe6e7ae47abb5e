import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { SimulatedCluster } from '../cluster.ts';
import { ask } from '../http/ask.ts';

const VERBS: Readonly<Record<string, string>> = { create: 'POST', set: 'PUT', delete: 'DELETE' };

/**
 * Does what a root shell of a node does with lines of `pvesh` and of `pvesm set`: a shell parses them, the API is asked.
 * @throws Error for a line that is neither, and for what the API refuses
 */
export async function nodeShell(cluster: SimulatedCluster, lines: readonly string[] = []): Promise<void> {
  for (const line of lines) {
    const [program = '', command = '', target = '', ...options] = await wordsOf(line);
    const verb = program === 'pvesm' && command !== 'set' ? undefined : VERBS[command];
    if (!['pvesh', 'pvesm'].includes(program) || verb === undefined || options.length % 2 !== 0) throw new Error(line);
    const body: Record<string, string> = {};
    for (let index = 0; index < options.length; index += 2) {
      const [name = '', value = ''] = options.slice(index);
      if (!name.startsWith('--')) throw new Error(line);
      body[name.slice(2)] = value;
    }
    const path = program === 'pvesm' ? `/storage/${target}` : target;
    const { status, reason } = await ask(cluster, verb, path, { body });
    if (status !== 200) throw new Error(`${line}: ${status} ${reason}`);
  }
}

/** The words that a shell makes of a line. */
async function wordsOf(line: string): Promise<string[]> {
  const script = `pvesh() { printf '%s\\0' pvesh "$@"; }; pvesm() { printf '%s\\0' pvesm "$@"; }; ${line}`;
  const { stdout } = await promisify(execFile)('/bin/sh', ['-euc', script]);
  return stdout.split('\0').slice(0, -1);
}
