import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import test from 'ava';
import { openTar } from '../../../../src/host/processes/decompress.ts';

const run = promisify(execFile);

for (const command of ['zstd', 'xz', 'gzip'] as const) {
  test(`What ${command} unpacked before anybody read is still there`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'decompress-'));
    t.teardown(() => rm(folder, { recursive: true }));
    const plain = join(folder, 'data');
    await writeFile(plain, Buffer.alloc(20_000, 'ab'));
    const { stdout } = await run(command, ['--stdout', plain], { encoding: 'buffer' });
    const packed = join(folder, 'packed');
    await writeFile(packed, stdout);

    const stream = await openTar(packed);
    // Long enough for the command to have ended: what it wrote is all in the pipe.
    await sleep(300);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    t.true(Buffer.concat(chunks).equals(await readFile(plain)));
  });
}

for (const command of ['zstd', 'xz', 'gzip'] as const) {
  test(`What is wrong with the data of ${command} is told to a reader who comes late`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'decompress-'));
    t.teardown(() => rm(folder, { recursive: true }));
    const plain = join(folder, 'data');
    await writeFile(plain, randomBytes(20_000));
    const { stdout } = await run(command, ['--stdout', plain], { encoding: 'buffer' });
    const packed = join(folder, 'packed');
    await writeFile(packed, stdout.subarray(0, 100));

    const stream = await openTar(packed);
    await sleep(300);
    await t.throwsAsync(async () => {
      for await (const chunk of stream) t.truthy(chunk);
    });
  });
}
