import { appendFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { CriLogParser } from '../../../src/cli/logs/cri-log.ts';
import { LogEnd, followLog } from '../../../src/cli/logs/follow.ts';
import { printLog } from '../../../src/cli/logs/print.ts';

const TIME = '2026-11-23T17:00:00.123456789+00:00';

async function print(chunks: Buffer[], timestamps = false) {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const both = Promise.all([buffer(stdout), buffer(stderr)]);
  await printLog(Readable.from(chunks), { stdout, stderr }, timestamps);
  stdout.end();
  stderr.end();
  const [out, err] = await both;
  return { out, err };
}

/** Cuts bytes into chunks at the given places. */
function cut(bytes: Buffer, places: number[]): Buffer[] {
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1))), bytes.length].sort((a, b) => a - b);
  return ends.map((end, index) => bytes.subarray(index === 0 ? 0 : ends[index - 1], end));
}

test('Both streams are parsed unchanged across any chunks', async (t) => {
  const piece = fc.record({
    stream: fc.constantFrom('stdout', 'stderr'),
    tag: fc.constantFrom('F', 'P', 'F:x', 'P:x:y'),
    content: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 10))),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(piece), fc.array(fc.nat(4000)), async (pieces, places) => {
      const expected: Record<string, Buffer[]> = { stdout: [], stderr: [] };
      const lines = pieces.map(({ stream, tag, content }) => {
        expected[stream]?.push(content, Buffer.from(tag.startsWith('F') ? '\n' : ''));
        return Buffer.concat([Buffer.from(`${TIME} ${stream} ${tag} `), content, Buffer.from('\n')]);
      });
      const { out, err } = await print(cut(Buffer.concat(lines), places));
      t.true(out.equals(Buffer.concat(expected['stdout'] ?? [])));
      t.true(err.equals(Buffer.concat(expected['stderr'] ?? [])));
    }),
    { numRuns: 1000 },
  );
});

test('Any bytes are parsed; malformed lines are kept', (t) => {
  const word = fc.constantFrom(TIME, 'stdout', 'stderr', 'F', 'P', ' ', '\n', 'x', '', '\r');
  const bytes = fc.oneof(
    fc.uint8Array(),
    fc.array(word).map((words) => Buffer.from(words.join(''))),
  );
  fc.assert(
    fc.property(bytes, fc.array(fc.nat(200)), (any, places) => {
      const whole = new CriLogParser();
      const once = [...whole.push(Buffer.from(any)), ...whole.finish()];
      const parser = new CriLogParser();
      const many = cut(Buffer.from(any), places).flatMap((chunk) => parser.push(chunk));
      t.deepEqual([...many, ...parser.finish()], once);
      for (const entry of once) if (entry.time === '') t.is(entry.content.at(-1), 10);
    }),
    { numRuns: 2000 },
  );
});

test('Timestamps are printed when requested', async (t) => {
  const { out } = await print([Buffer.from(`${TIME} stdout F a\n${TIME} stdout F b\n`)], true);
  t.is(out.toString(), `${TIME} a\n${TIME} b\n`);
});

async function directory(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'follow-test-'));
  t.teardown(() => rm(path, { recursive: true }));
  return path;
}

test('A log is followed over rotation to its end', async (t) => {
  const path = join(await directory(t), 'container.log');
  const end = new LogEnd();
  const seen: Buffer[] = [];
  let arrived = () => {};
  const reading = (async () => {
    for await (const chunk of followLog(path, end)) {
      seen.push(chunk);
      arrived();
    }
  })();
  const until = async (text: string) => {
    while (!Buffer.concat(seen).toString().endsWith(text)) await new Promise<void>((resolve) => (arrived = resolve));
  };
  await writeFile(path, 'a');
  await until('a');
  await appendFile(path, 'b');
  await until('ab');
  await rename(path, `${path}.1`);
  await appendFile(`${path}.1`, 'c');
  await writeFile(path, 'd');
  await until('abcd');
  await appendFile(path, 'x'.repeat(300_000));
  end.end();
  await reading;
  t.is(Buffer.concat(seen).toString(), `abcd${'x'.repeat(300_000)}`);
});

test('Finished and missing logs return at once', async (t) => {
  const path = join(await directory(t), 'container.log');
  const end = new LogEnd();
  end.end();
  t.is((await buffer(followLog(path, end))).toString(), '');
  await writeFile(path, 'all');
  t.is((await buffer(followLog(path, end))).toString(), 'all');
});
