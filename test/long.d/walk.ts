// Fails every step of the pod, container and pull RPCs and kills the server around it, on both handlers; arguments: [RPC[,RPC...] [SEED]].
import { spawnSync } from 'node:child_process';

const [rpcs, seed = '1'] = process.argv.slice(2);
const environment = {
  ...process.env,
  WALK_SHARE: '1',
  PROPERTY_SEED: seed,
  ...(rpcs !== undefined && { WALK_RPC: rpcs }),
};
const ava = ['node_modules/ava/entrypoints/cli.mjs', '--timeout=24h', 'test/integration/walk.test.ts'];
process.exitCode = spawnSync(process.execPath, ava, { stdio: 'inherit', env: environment }).status ?? 1;
