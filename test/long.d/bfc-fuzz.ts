// Reads 1,000,000 mutated BFC files, and 1,000 of a password; arguments: [COUNT [SEED]].
import { spawnSync } from 'node:child_process';

const [count = '1000000', seed = String(Date.now() % 2 ** 31)] = process.argv.slice(2);
const environment = { ...process.env, MUTATIONS: count, PROPERTY_SEED: seed };
const ava = [
  'node_modules/ava/entrypoints/cli.mjs',
  '--timeout=12h',
  '--match=mutated BFC*',
  'test/unit/mutations.test.ts',
];
process.exitCode = spawnSync(process.execPath, ava, { stdio: 'inherit', env: environment }).status ?? 1;
