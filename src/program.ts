import type { Handler } from './backends/handler.ts';
import { runCli } from './cli/main.ts';
import { declareHandlers } from './core/config/handlers.ts';

/** Runs this process's command line, with the given RuntimeClass handlers; sets the exit code. */
export async function runProgram(handlers: readonly Handler[]): Promise<void> {
  declareHandlers(handlers);
  process.exitCode = await runCli(process.argv.slice(2), {
    // The server's parts take longest to load, and no other command needs them.
    serve: async (options) => (await import('./server.ts')).serve(handlers, options),
    wipe: async (config) => (await import('./wipe.ts')).wipe(handlers, config),
  });
}
