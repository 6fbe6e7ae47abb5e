// Applies 100,000 seeded hostile layers; arguments: [COUNT [SEED]].
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import { run } from '../../src/host/processes/run.ts';
import { newStore } from '../integration/images-fixture.ts';
import { sha256, tarOf } from '../unit/integrations/oci/image-builder.ts';
import { hostileEntries } from '../unit/host/layers/hostile.ts';

/** Of this process with its threads, in KiB. */
const MAX_RSS = 1024 * 1024;
const BATCH = 1000;

const [count = 100_000, seed = 20_263] = process.argv.slice(2).map(Number);
if (process.env['PROXMOX_LXCRI_TEST_CGROUP'] === undefined) throw new Error('run this by test/long');
const directory = await mkdtemp('/tmp/hostile-');
try {
  process.exitCode = (await hold(directory)) ? 0 : 1;
} finally {
  await rm(directory, { recursive: true, force: true });
}

async function hold(root: string): Promise<boolean> {
  const canary = join(root, 'store/tmp/canary');
  const store = await newStore(join(root, 'store'));
  await mkdir(canary, { recursive: true });
  for (const name of ['a', 'b', 'c']) await writeFile(join(canary, name), 'untouched');
  await makePrivate('/etc');
  await makePrivate('/root');
  const outside = async () => `${await snapshot(canary)} ${await snapshot('/etc')} ${await snapshot('/root')}`;
  const before = await outside();
  const blob = join(root, 'blob');
  const problems: string[] = [];
  let applied = 0;
  for (let done = 0; done < count && problems.length === 0; done += BATCH) {
    const numRuns = Math.min(BATCH, count - done);
    for (const specs of fc.sample(hostileEntries, { numRuns, seed: seed + done })) {
      const tar = tarOf(...specs);
      const digest = sha256(tar);
      await writeFile(blob, tar);
      try {
        await store.applyLayer({ parent: undefined, chainId: digest, diffId: digest, blob });
        await store.removeLayer(digest);
        applied++;
      } catch (error) {
        if (error instanceof CriError && error.code === StatusCode.INVALID_ARGUMENT) continue;
        problems.push(`seed ${seed + done}: ${String(error)} for ${JSON.stringify(specs)}`);
      }
    }
    if ((await outside()) !== before) problems.push(`seed ${seed + done}: something outside the target has changed`);
    const left = [...(await readdir(join(root, 'store/tmp'))), ...(await readdir(join(root, 'store/layers')))];
    if (left.join() !== 'canary') problems.push(`seed ${seed + done}: left behind: ${left.join(' ')}`);
    if ((await readdir(root)).sort().join() !== 'blob,store')
      problems.push(`seed ${seed + done}: files beside the store`);
    const { maxRSS } = process.resourceUsage();
    if (maxRSS > MAX_RSS) problems.push(`seed ${seed + done}: the process has used ${maxRSS} KiB`);
    if (done % 10_000 === 0) console.log(`${done + numRuns} of ${count}, ${applied} applied, peak ${maxRSS} KiB`);
  }
  for (const problem of problems) console.error(problem);
  const { maxRSS } = process.resourceUsage();
  console.log(
    `${count} hostile layers: ${applied} applied, the others refused, peak ${maxRSS} KiB, ${problems.length} problems`,
  );
  return problems.length === 0;
}

/** Mounts an overlay on a directory, in this mount namespace only: changes by others meanwhile stay invisible. */
async function makePrivate(path: string): Promise<void> {
  const copy = await mkdtemp('/run/private-');
  await run('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', copy]);
  if (path === '/etc') await run('cp', ['-a', `${path}/.`, copy]);
  else await writeFile(join(copy, 'untouched'), 'untouched');
  await run('mount', ['--bind', copy, path]);
}

/** Everything below a directory except sizes of directories and access times. */
async function snapshot(path: string): Promise<string> {
  const { stdout } = await run('find', [path, '-xdev', '-printf', '%p %y %m %U:%G %T@ %l %i\n'], {
    maxOutputBytes: 1e8,
  });
  return createHash('sha256').update(stdout.split('\n').sort().join('\n')).digest('hex');
}
