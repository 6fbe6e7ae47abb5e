import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import '../../../lib/native.ts';
import { run } from '../../../../src/host/processes/run.ts';
import { CniPlugins } from '../../../../src/integrations/cni/cni-plugin.ts';

/** A plugin that kills the helper which started it, but the second time. */
const PLUGIN = `#!/bin/sh
cd "\${0%/*}"
echo "$CNI_COMMAND" >>calls
[ "$(wc -l <calls)" = 2 ] || kill -9 $PPID
`;

test.serial('DEL is called again when the helper dies, ADD is not', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'cni-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const fifo = join(directory, 'fifo');
  await run('mkfifo', [fifo]);
  await writeFile(join(directory, 'plugin'), PLUGIN);
  await chmod(join(directory, 'plugin'), 0o755);
  const plugins = new CniPlugins([directory], { fifo, earlierEnded: Promise.resolve() });
  const attachment = { containerId: 'c', netns: undefined, ifName: 'eth0', args: '' };
  t.is(await plugins.call('plugin', {}, { command: 'DEL', attachment }), '');
  await t.throwsAsync(plugins.call('plugin', {}, { command: 'ADD', attachment }), { message: /native helper exited/ });
  t.is(await readFile(join(directory, 'calls'), 'utf8'), 'DEL\nDEL\nADD\n');
});
