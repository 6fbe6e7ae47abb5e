import { PassThrough } from 'node:stream';
import test from 'ava';
import fc from 'fast-check';
import { printable } from '../../../../src/core/logging/escape.ts';
import { createLogger } from '../../../../src/core/logging/logger.ts';
import { redactText } from '../../../../src/core/logging/redact.ts';
import { notFound } from '../../../../src/core/model/errors.ts';

function capture(format: 'auto' | 'text' | 'json', level: 'debug' | 'info' = 'debug', isTTY = false) {
  const stream = Object.assign(new PassThrough(), { isTTY });
  const logger = createLogger({ level, format, stream, env: {} });
  const read = () => ((stream.read() as Buffer | null) ?? Buffer.alloc(0)).toString('utf8');
  return { logger, read, stream };
}

const parsed = (text: string) => JSON.parse(text) as Record<string, unknown>;

test('JSON lines have time, level, message and fields', (t) => {
  const { logger, read } = capture('auto');
  logger.with({ pod: 'p1' }).info('Started pod', { size: 12345678901234567890n, level: 'mine', nothing: undefined });
  const text = read();
  t.true(text.endsWith('}\n'));
  const line = parsed(text);
  t.regex(String(line['time']), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  delete line['time'];
  t.deepEqual(line, { level: 'info', msg: 'Started pod', pod: 'p1', size: '12345678901234567890', level_: 'mine' });
});

test('Disabled levels write nothing; setLevel reaches existing loggers', (t) => {
  const { logger, read } = capture('json', 'info');
  const child = logger.with({ a: 1 });
  child.debug('No');
  t.is(read(), '');
  logger.setLevel('debug');
  t.is(logger.level, 'debug');
  child.debug('Yes');
  t.regex(read(), /"msg":"Yes","a":1/);
  logger.setLevel('error');
  child.warn('No');
  t.is(read(), '');
});

test('Errors are logged with code, cause and stack', (t) => {
  const { logger, read } = capture('json');
  logger.error('Failed', {
    error: Object.assign(new Error('outer', { cause: notFound('image', 'x') }), { code: 'EIO' }),
  });
  const error = parsed(read())['error'] as Record<string, unknown>;
  t.is(error['message'], 'outer');
  t.is(error['code'], 'EIO');
  t.regex(String(error['stack']), /logger\.test\.ts/);
  t.deepEqual(error['cause'], { message: 'image "x" not found', code: 5 });
});

test('Credentials are redacted in fields, URLs and headers', (t) => {
  for (const format of ['json', 'text'] as const) {
    const { logger, read } = capture(format);
    const fields = {
      password: 'hunter2',
      auth: { username: 'u', password: 'hunter2' },
      request: { authConfig: { identityToken: 'hunter2', registry_token: 'hunter2' }, list: [{ token: 'hunter2' }] },
      map: new Map([['x-api-key', 'hunter2']]),
      url: 'https://bob:hunter2@registry.example/v2/',
      error: new Error('GET https://hunter2@registry.example failed; sent Authorization: Bearer hunter2hunter2hunter2'),
    };
    logger.info('Pull from http://a:hunter2@b/', fields);
    const line = read();
    t.false(line.includes('hunter2'), line);
    t.true(line.includes('registry.example'));
  }
  t.is(
    redactText('Basic settings are fine, see https://example.org/a@b'),
    'Basic settings are fine, see https://example.org/a@b',
  );
});

test('Values that cannot be serialized keep the line intact', (t) => {
  const { logger, read } = capture('json');
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  const hostile = {
    get bad(): string {
      throw new Error('no');
    },
  };
  logger.info('Odd', {
    circle,
    hostile,
    bytes: Buffer.alloc(3),
    fn: () => 1,
    nan: NaN,
    long: 'x'.repeat(20_000),
    set: new Set([1]),
  });
  const line = parsed(read());
  t.deepEqual(line['circle'], { self: '[circular]' });
  t.is(line['hostile'], '[unreadable]');
  t.is(line['bytes'], '[3 bytes]');
  t.is(line['nan'], 'NaN');
  t.deepEqual(line['set'], [1]);
  t.true(String(line['long']).length < 9000);
});

test('Terminal output is coloured logfmt on one line', (t) => {
  const tty = capture('auto', 'debug', true);
  tty.logger.warn('Careful', { a: 1 });
  t.regex(tty.read(), /\u001b\[33mWARN \u001b\[0m Careful/);
  const plain = capture('text');
  plain.logger.info('Two\nlines', { path: '/a/b', words: 'x "y"', list: [1, 'é'], error: notFound('pod', 'p') });
  t.regex(
    plain.read(),
    /^\S+Z INFO {2}Two\\nlines path=\/a\/b words="x \\"y\\"" list=\[1,"é"\] error="pod \\"p\\" not found"\n$/,
  );
});

test('No value adds a line or control character', (t) => {
  const { logger, read } = capture('text');
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom('\n', '\r', '\u001b', '\u2028', '\u009b', 'a', '"', '=') }),
  );
  fc.assert(
    fc.property(
      text,
      fc.dictionary(
        text,
        fc.oneof(text, fc.array(text), fc.anything({ withBigInt: true, withDate: true, withMap: true })),
      ),
      (message, fields) => {
        logger.info(message, fields);
        const line = read();

        return line.endsWith('\n') && !/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]/.test(line.slice(0, -1));
      },
    ),
    { numRuns: 2000 },
  );
  t.is(printable('a\u001b[31m\u202eb'), 'a\\e[31m\\u202eb');
});

test('A stream without a reader does not throw', (t) => {
  const { logger, stream } = capture('json');
  stream.destroy(new Error('EPIPE'));
  t.notThrows(() => {
    logger.info('Anyone?');
  });
});
