// Moves 1 GiB each way through exec and port-forward with crictl, over both transports; arguments: [MIB].
import { spawnSync } from 'node:child_process';

const [mebibytes = '1024'] = process.argv.slice(2);
const environment = { ...process.env, STREAMING_TRANSFER_MIB: mebibytes };
const ava = ['node_modules/ava/entrypoints/cli.mjs', '--timeout=2h', 'test/integration/streaming-transfer.test.ts'];
process.exitCode = spawnSync(process.execPath, ava, { stdio: 'inherit', env: environment }).status ?? 1;
