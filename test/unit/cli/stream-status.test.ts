import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import test from 'ava';
import { WebSocketServer } from 'ws';
import type { CliContext } from '../../../src/cli/command.ts';
import { remoteSession } from '../../../src/cli/stream/session.ts';
import { CriError, StatusCode } from '../../../src/core/model/errors.ts';

/** The end of a session whose peer sends these messages on the status channel. */
async function sessionEnd(...messages: (string | Buffer)[]): Promise<unknown> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  server.on('connection', (socket) => {
    for (const message of messages) socket.send(Buffer.concat([Buffer.of(3), Buffer.from(message)]));
    socket.close();
  });
  const context = { stdout: new PassThrough(), stderr: new PassThrough() } as unknown as CliContext;
  const options = { stdin: false, output: true, tty: false, detachKeys: Buffer.alloc(0) };
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/exec/token`;
  try {
    return await remoteSession(context, url, options, new AbortController().signal);
  } catch (error) {
    return error;
  } finally {
    server.close();
  }
}

const nonZero = (message: unknown) =>
  JSON.stringify({
    status: 'Failure',
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message }] },
  });

test('A status gives the exit code or the error', async (t) => {
  t.deepEqual(await sessionEnd('{"metadata":{},"status":"Success"}'), { kind: 'exited', exitCode: 0 });
  t.deepEqual(await sessionEnd(nonZero('7').slice(0, 9), nonZero('7').slice(9)), { kind: 'exited', exitCode: 7 });
  const failed = (await sessionEnd('{"status":"Failure","message":"no shell","details":null}')) as CriError;
  t.like(failed, { code: StatusCode.UNKNOWN, message: 'no shell' });
  const silent = (await sessionEnd()) as CriError;
  t.is(silent.code, StatusCode.UNAVAILABLE);
});

for (const [what, answer] of Object.entries({
  'no JSON': '<html>502 Bad Gateway</html>',
  null: 'null',
  'a list': '[]',
  'another object': '{"error":"x"}',
  'causes that are no list': '{"status":"Failure","details":{"causes":7}}',
  'a null cause': '{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[null]}}',
  'a message that is no string': '{"status":"Failure","message":{}}',
  'no exit code': nonZero(undefined),
  'an exit code that is no number': nonZero('seven'),
  'deep nesting': `${'['.repeat(50_000)}${']'.repeat(50_000)}`,
  'bytes that are no text': Buffer.alloc(3_000_000, 0xff),
})) {
  test(`A malformed status is an error: ${what}`, async (t) => {
    const error = (await sessionEnd(answer)) as CriError;
    t.true(error instanceof CriError, String(error).slice(0, 200));
    t.is(error.code, StatusCode.INTERNAL);
    t.regex(error.message, /^the streaming server sent ".*, which is no status of a streaming session$/);
    t.true(error.message.includes(JSON.stringify(answer.toString().slice(0, 20)).slice(1, -1)));
    t.true(error.message.length < 600);
  });
}
