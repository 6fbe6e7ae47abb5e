// Makes 500 guests from two servers of a simulated cluster, one of them killed; arguments: [COUNT].
import { spawnSync } from 'node:child_process';

const environment = { ...process.env, ALLOCATION_GUESTS: process.argv[2] ?? '500' };
const ava = ['node_modules/ava/entrypoints/cli.mjs', '--timeout=12h'];
ava.push('test/unit/backends/proxmox/cluster-allocation.test.ts');
process.exitCode = spawnSync(process.execPath, ava, { stdio: 'inherit', env: environment }).status ?? 1;
