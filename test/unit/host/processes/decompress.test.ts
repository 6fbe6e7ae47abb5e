import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
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

test('xz takes no more memory than its bound', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'decompress-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const [plain, packed] = [join(directory, 'data'), join(directory, 'packed')];
  await writeFile(plain, Buffer.alloc(20_000, 'ab'));
  const read = async (dictionary: number) => {
    const { stdout } = await run('xz', ['--stdout', '--lzma2=dict=4KiB', plain], { encoding: 'buffer' });
    // The block header (.xz file format, 3.1) ends with its CRC32; 0x21 is LZMA2, its property the size of the dictionary.
    const header = stdout.subarray(12, 12 + (stdout.readUInt8(12) + 1) * 4);
    header.writeUInt8(dictionary, header.indexOf(Buffer.of(0x21, 1)) + 2);
    header.writeUInt32LE(crc32(header.subarray(0, -4)), header.length - 4);
    await writeFile(packed, stdout);
    let bytes = 0;
    for await (const chunk of await openTar(packed)) bytes += (chunk as Buffer).length;
    return bytes;
  };
  t.is(await read(28), 20_000, '64 MiB');
  await t.throwsAsync(read(40), { message: 'refused: xz requires more than 256 MiB of memory for it' });
});
