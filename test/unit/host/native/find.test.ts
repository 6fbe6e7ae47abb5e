import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';
import { look } from '../../../../src/host/native/find.ts';

const run = promisify(execFile);

test('the program of this checkout is found where the build puts it', async (t) => {
  const { stdout } = await run('src/native/build');
  t.is(look({}), stdout.trim());
});

test('the environment names another program, which must be there', (t) => {
  t.is(look({ PROXMOX_LXCRI_NATIVE: '/bin/true' }), '/bin/true');
  t.throws(() => look({ PROXMOX_LXCRI_NATIVE: '/nonexistent' }), {
    message: /PROXMOX_LXCRI_NATIVE: program .* not found/,
  });
});
