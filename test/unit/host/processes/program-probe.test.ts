import test from 'ava';
import { mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ProgramProbe } from '../../../../src/host/processes/program-probe.ts';
import { CommandError } from '../../../../src/host/processes/run.ts';
import { writeScript } from '../../../lib/script.ts';

test('a probe is cached until its program changes', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'probe-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const program = join(directory, 'program');
  const asked = join(directory, 'asked');
  const write = async (answer: string, code = 0) => {
    const text = `echo asked >>${asked}\necho "${answer} $1"\nexit ${String(code)}\n`;
    await writeScript(`${program}.new`, text);
    await rename(`${program}.new`, program);
  };
  const times = async () => (await readFile(asked, 'utf8')).split('\n').length - 1;
  const probe = new ProgramProbe();
  const ask = () => probe.answer(program, ['--version']);

  await t.throwsAsync(ask(), { instanceOf: CommandError });
  await write('one');
  t.deepEqual(await Promise.all([ask(), ask()]), ['one --version\n', 'one --version\n']);
  t.is(await ask(), 'one --version\n');
  t.is(await times(), 1);
  t.is(await probe.answer(program, ['-V']), 'one -V\n');
  await write('two');
  t.is(await ask(), 'two --version\n');
  await rm(program);
  await t.throwsAsync(ask(), { instanceOf: CommandError });
  await write('bad', 1);
  const before = await times();
  for (let i = 0; i < 2; i++) await t.throwsAsync(ask(), { instanceOf: CommandError });
  t.is(await times(), before + 2);
  t.regex(await probe.answer('sh', ['-c', 'echo by name']), /by name/);
});
