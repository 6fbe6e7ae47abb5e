#!/usr/bin/env node
import { runCli } from './cli/main.ts';

process.exitCode = await runCli(process.argv.slice(2), {
  // The server's parts take longest to load, and no other command needs them.
  serve: async (options) => (await import('./server.ts')).serve(options),
  wipe: async (config) => (await import('./wipe.ts')).wipe(config),
});
