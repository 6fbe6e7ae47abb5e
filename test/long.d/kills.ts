// Kills the server 100 times while 8 workers take 100 pods through their lifecycle; arguments: [KILLS [PODS [SEED]]].
import { spawnSync } from 'node:child_process';

const [kills = '100', pods = '100', seed = String(Date.now() % 2 ** 31)] = process.argv.slice(2);
const environment = { ...process.env, KILLS: kills, KILLS_PODS: pods, PROPERTY_SEED: seed };
const ava = ['node_modules/ava/entrypoints/cli.mjs', '--timeout=12h', 'test/integration/kills.test.ts'];
process.exitCode = spawnSync(process.execPath, ava, { stdio: 'inherit', env: environment }).status ?? 1;
