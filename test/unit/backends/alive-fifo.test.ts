import test, { type ExecutionContext } from 'ava';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { mkdtemp, open, readdir, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { readAliveFifo } from '../../../src/backends/alive-fifo.ts';
import { run } from '../../../src/host/processes/run.ts';

async function makeFifo(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'fifo-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const path = join(directory, 'alive');
  await run('mkfifo', [path]);
  return path;
}

test('A FIFO ends with its last writer', async (t) => {
  const path = await makeFifo(t);
  const writer = await open(path, constants.O_RDWR);
  const other = await open(path, constants.O_WRONLY);
  await writer.write('first ');
  const stream = await readAliveFifo(path);
  t.not(stream, undefined);
  const said = text(stream!);
  const ended = once(stream!, 'close');
  await writer.close();
  await other.write('last');
  await other.close();
  t.is(await said, 'first last');
  await ended;
});

test('A FIFO without a writer, or that does not exist, has no stream', async (t) => {
  const path = await makeFifo(t);
  t.is(await readAliveFifo(path), undefined);
  await (await open(path, constants.O_RDWR)).close();
  t.is(await readAliveFifo(path), undefined);
  t.is(await readAliveFifo(`${path}.not`), undefined);
});

test('What cannot be read is an error, and stays open nowhere', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'fifo-'));
  t.teardown(() => rm(directory, { recursive: true }));
  await t.throwsAsync(readAliveFifo(directory), { code: 'EISDIR' });
  const open = (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ''));
  t.false((await Promise.all(open)).includes(directory));
});
