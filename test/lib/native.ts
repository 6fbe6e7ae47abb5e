import { execFileSync } from 'node:child_process';

/** Builds the native helper if necessary, so that one test file can be run by itself. Where a bundle is, it is built. */
if (process.env['PROXMOX_LXCRI_NATIVE'] === undefined && !process.env['PROXMOX_LXCRI_TEST_BUNDLE']) {
  const script = new URL('../../src/native/build', import.meta.url).pathname;
  execFileSync(script, { stdio: ['ignore', 'ignore', 'inherit'] });
}
