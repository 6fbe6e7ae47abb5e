import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';

test('20,000 mutated messages are parsed or refused', async (t) => {
  const { stdout } = await promisify(execFile)('test/native/fuzz', ['20000', process.env['PROPERTY_SEED'] ?? '1']);
  t.regex(stdout, /^\d+ of 20000 accepted/);
});
