// Kills the server, conmon, liblxc's monitor, pause processes, crun and CNI plugins 500 times while 8 workers run pods;
// arguments: [KILLS [SEED]].
import { spawnSync } from 'node:child_process';
import { KINDS } from '../integration/chaos-victims.ts';

const [kills = '500', seed = String(Date.now() % 2 ** 31)] = process.argv.slice(2);
const environment = {
  ...process.env,
  KILLS: kills,
  KILLS_PODS: '8',
  KILLS_OF: ['server', ...KINDS].join(','),
  PROPERTY_SEED: seed,
};
const ava = ['node_modules/ava/entrypoints/cli.mjs', '--timeout=12h', 'test/integration/kills.test.ts'];
process.exitCode = spawnSync(process.execPath, ava, { stdio: 'inherit', env: environment }).status ?? 1;
