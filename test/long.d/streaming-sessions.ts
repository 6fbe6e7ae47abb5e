// Opens and ends 1,000 exec, attach and port-forward sessions and looks for leaks in the server; arguments: [COUNT].
import { spawnSync } from 'node:child_process';

const [count = '1000'] = process.argv.slice(2);
const environment = { ...process.env, STREAMING_SESSIONS: count };
const ava = ['node_modules/ava/entrypoints/cli.mjs', '--timeout=2h', 'test/integration/streaming-sessions.test.ts'];
process.exitCode = spawnSync(process.execPath, ava, { stdio: 'inherit', env: environment }).status ?? 1;
