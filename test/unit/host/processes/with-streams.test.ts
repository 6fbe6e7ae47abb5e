import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';

const script = `
import { openSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { findNative } from './src/host/native/find.ts';
import { run } from './src/host/processes/run.ts';
import { withStreams } from './src/host/processes/with-streams.ts';
findNative();
try { for (;;) openSync('/dev/null'); } catch {}
const failures = [];
try { withStreams(spawn('true')); } catch (error) { failures.push(error.message); }
await run('true', []).catch((error) => failures.push(error.message));
console.log(JSON.stringify(failures));
`;

test('without free descriptors no program starts', async (t) => {
  const args = ['--nofile=64', process.execPath, '--input-type=module', '--eval', script];
  const { stdout } = await promisify(execFile)('prlimit', args);
  const [program, helper] = JSON.parse(stdout) as string[];
  t.is(program, 'cannot run true: too many open files');
  t.regex(helper ?? '', /^cannot start the native helper: cannot run \S+: too many open files$/);
});
