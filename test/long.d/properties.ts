// Runs the unit tests repeatedly, the properties with other values each time; arguments: [TIMES [SEED]].
import { spawnSync } from 'node:child_process';

const [times = 20, first = Date.now() % 2 ** 31] = process.argv.slice(2).map(Number);
const ava = ['node_modules/ava/entrypoints/cli.mjs', 'test/unit/**/*.test.ts'];
let failed = 0;
for (let seed = first; seed < first + times; seed++) {
  const environment = { ...process.env, PROPERTY_SEED: String(seed) };
  const { status, stdout } = spawnSync(process.execPath, ava, { encoding: 'utf8', env: environment });
  console.log(`seed ${String(seed)}: ${stdout.trim().split('\n').at(-1) ?? ''}`);
  if (status !== 0) {
    failed++;
    console.log(stdout);
  }
}
console.log(`${String(times)} runs, ${String(failed)} failed`);
process.exitCode = failed === 0 ? 0 : 1;
