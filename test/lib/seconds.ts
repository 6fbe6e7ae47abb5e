import { appendFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

/** Appends a line "SECONDS FILE" to this file when a test file has ended; test/run shows the slowest. */
const journal = process.env['PROXMOX_LXCRI_TEST_SECONDS'];

if (journal !== undefined) {
  const file = relative(process.cwd(), fileURLToPath(test.meta.file)).replace(/^test\/|^\.cache\/|\.test\.ts$/g, '');
  process.once('exit', () => {
    appendFileSync(journal, `${String(Math.round(performance.now() / 1000))} ${file}\n`);
  });
}
