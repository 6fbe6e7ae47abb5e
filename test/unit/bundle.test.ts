import { execFile } from 'node:child_process';
import { access, constants, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';

const run = promisify(execFile);

test('a bundle replaces only an earlier one', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'bundle-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const own = join(directory, 'letter');
  await writeFile(own, 'dear');
  await t.throwsAsync(run('deploy/bundle', [directory]), { message: /exists and is no bundle; nothing was changed/ });
  t.is(await readFile(own, 'utf8'), 'dear');

  const bundle = join(directory, 'bundle');
  for (const turn of ['made', 'replaced']) {
    await run('deploy/bundle', [bundle]);
    const { stdout } = await run(process.execPath, [join(bundle, 'main.js'), '--version']);
    t.regex(stdout, /\d+\.\d+\.\d+/, turn);
  }
  await access(join(bundle, 'lxcri-native'), constants.X_OK);
});
