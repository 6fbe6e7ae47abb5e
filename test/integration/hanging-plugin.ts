import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { processIds } from '../lib/processes.ts';
import type { ServerFixture } from './server-fixture.ts';

/** A CNI plugin (test/fixtures/cni/recorder) some commands of which hang. */
export interface HangingPlugin {
  /** Commands of the calls so far. */
  calls: () => Promise<string[]>;
  /** Later calls do not hang. */
  release: () => Promise<void>;
  /** Those that hang continue. */
  proceed: () => Promise<void>;
}

/** Adds the plugin to the network of a server, after the bridge. */
export async function hang(
  { directory }: ServerFixture,
  commands: readonly string[] = ['ADD'],
): Promise<HangingPlugin> {
  const file = join(directory, 'cni/10-test.conflist');
  const list = JSON.parse(await readFile(file, 'utf8')) as { plugins: { type: string }[] };
  const journal = join(directory, 'journal');
  const plugins = [...list.plugins.filter(({ type }) => type !== 'recorder'), { type: 'recorder', journal }];
  await writeFile(file, JSON.stringify({ ...list, plugins }));
  await rm(journal, { force: true });
  for (const command of commands) await writeFile(`${journal}.${command}.hang`, '');
  return {
    async calls() {
      const lines = (await readFile(journal, 'utf8').catch(() => '')).trim().split('\n');
      return lines.flatMap((line) => (line === '' ? [] : [(JSON.parse(line) as { command: string }).command]));
    },
    async release() {
      for (const command of commands) await rm(`${journal}.${command}.hang`, { force: true });
    },
    async proceed() {
      for (const pid of await processIds()) {
        const line = await readFile(`/proc/${String(pid)}/cmdline`, 'utf8').catch(() => '');
        if (line === 'sleep\0infinity\0') process.kill(pid, 'SIGKILL');
      }
    },
  };
}
