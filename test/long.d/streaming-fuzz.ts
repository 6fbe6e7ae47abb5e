// Sends 100,000 mutations of recorded sessions to the streaming server; arguments: [COUNT].
import { spawnSync } from 'node:child_process';

const [count = '100000'] = process.argv.slice(2);
const environment = { ...process.env, STREAMING_FUZZ_RUNS: count };
const ava = ['node_modules/ava/entrypoints/cli.mjs', '--timeout=2h', 'test/unit/cri/streaming/fuzz.test.ts'];
process.exitCode = spawnSync(process.execPath, ava, { stdio: 'inherit', env: environment }).status ?? 1;
