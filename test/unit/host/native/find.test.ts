import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';
import { look } from '../../../../src/host/native/find.ts';

const run = promisify(execFile);

test("the checkout's native helper is found", async (t) => {
  const { stdout } = await run('src/native/build');
  t.is(look({}), stdout.trim());
});

test('the environment can name another, existing helper', (t) => {
  t.is(look({ PROXMOX_LXCRI_NATIVE: '/bin/true' }), '/bin/true');
  t.throws(() => look({ PROXMOX_LXCRI_NATIVE: '/nonexistent' }), {
    message: /PROXMOX_LXCRI_NATIVE: program .* not found/,
  });
});
