import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { openTar } from '../../../../src/host/processes/decompress.ts';
import { eventually } from '../../../lib/eventually.ts';

const run = promisify(execFile);

/**
 * Waits until no command of this process reads the file: all its output is in the pipe. Returns at once without a
 * command.
 */
async function endOfCommands(file: string): Promise<void> {
  await eventually('the end of the command', async () => {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
    const inputs = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/fd/0`).catch(() => '')));
    return !inputs.includes(file);
  });
}

for (const command of ['zstd', 'xz', 'gzip'] as const) {
  test(`Output of ${command} is kept until it is read`, async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'decompress-'));
    t.teardown(() => rm(directory, { recursive: true }));
    const plain = join(directory, 'data');
    await writeFile(plain, Buffer.alloc(20_000, 'ab'));
    const { stdout } = await run(command, ['--stdout', plain], { encoding: 'buffer' });
    const packed = join(directory, 'packed');
    await writeFile(packed, stdout);

    const stream = await openTar(packed);
    await endOfCommands(packed);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    t.true(Buffer.concat(chunks).equals(await readFile(plain)));
  });
}

for (const command of ['zstd', 'xz', 'gzip'] as const) {
  test(`An error of ${command} reaches a late reader`, async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'decompress-'));
    t.teardown(() => rm(directory, { recursive: true }));
    const plain = join(directory, 'data');
    await writeFile(plain, randomBytes(20_000));
    const { stdout } = await run(command, ['--stdout', plain], { encoding: 'buffer' });
    const packed = join(directory, 'packed');
    await writeFile(packed, stdout.subarray(0, 100));

    const stream = await openTar(packed);
    await endOfCommands(packed);
    await t.throwsAsync(async () => {
      for await (const chunk of stream) t.truthy(chunk);
    });
  });
}
