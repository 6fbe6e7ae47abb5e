// Sends 1,000,000 changed or random sessions of an NRI plugin to the server's end; arguments: [COUNT].
import { spawnSync } from 'node:child_process';

const [count = '1000000'] = process.argv.slice(2);
const environment = { ...process.env, NRI_FUZZ_RUNS: count };
const ava = ['node_modules/ava/entrypoints/cli.mjs', '--timeout=2h', 'test/unit/integrations/nri/wire.test.ts'];
process.exitCode = spawnSync(process.execPath, ava, { stdio: 'inherit', env: environment }).status ?? 1;
