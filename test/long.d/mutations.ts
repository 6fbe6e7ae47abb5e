// Reads 1,000,000 mutations each of tar headers, frames, configurations and documents; arguments: [COUNT [SEED [KIND]]].
import { spawnSync } from 'node:child_process';

const [count = '1000000', seed = String(Date.now() % 2 ** 31), kind = ''] = process.argv.slice(2);
const environment = { ...process.env, MUTATIONS: count, PROPERTY_SEED: seed };
const ava = ['node_modules/ava/entrypoints/cli.mjs', '--timeout=12h', `--match=mutated ${kind}*`];
ava.push('test/unit/mutations.test.ts');
process.exitCode = spawnSync(process.execPath, ava, { stdio: 'inherit', env: environment }).status ?? 1;
