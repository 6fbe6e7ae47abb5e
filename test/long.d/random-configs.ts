// Creates 500 random pods and containers, each as requested or refused; arguments: [COUNT [SEED]].
import { spawnSync } from 'node:child_process';

const [count = '500', seed = String(Date.now() % 2 ** 31)] = process.argv.slice(2);
console.log(`seed ${seed}`);
const environment = { ...process.env, RANDOM_CONFIGS: count, PROPERTY_SEED: seed };
const ava = ['node_modules/ava/entrypoints/cli.mjs', '--timeout=12h', 'test/integration/random.test.ts'];
process.exitCode = spawnSync(process.execPath, ava, { stdio: 'inherit', env: environment }).status ?? 1;
