// Runs 1,000 random sequences of guest operations with faults against the simulated cluster; arguments: [COUNT [SEED]].
import { spawnSync } from 'node:child_process';

const [count = '1000', seed = String(Date.now() % 2 ** 31)] = process.argv.slice(2);
const environment = { ...process.env, SEQUENCES: count, PROPERTY_SEED: seed };
const ava = ['node_modules/ava/entrypoints/cli.mjs', '--timeout=12h', 'test/unit/proxmox-sequences/sequences.test.ts'];
process.exitCode = spawnSync(process.execPath, ava, { stdio: 'inherit', env: environment }).status ?? 1;
