import { ExecSyncRequest, RuntimeServiceService } from '../../../api/gen/cri.ts';
import type { CliContext, Input } from '../command.ts';
import { writeAll } from '../output/write.ts';
import { wholeNumber } from '../values.ts';
import { resolve } from './resolve.ts';
import type { ServerClient } from './server.ts';

/** Runs a command in a container and prints what it wrote. @returns its exit code. */
export async function execSync(context: CliContext, server: ServerClient, input: Input): Promise<number> {
  const [word = '', ...cmd] = input.args;
  const seconds = wholeNumber('timeout', input.text('timeout') ?? '0');
  const { id } = await resolve(server, word, ['container']);
  const request = ExecSyncRequest.create({ containerId: id, cmd, timeout: BigInt(seconds) });
  const result = await server.call(RuntimeServiceService.execSync, request, { timeoutMs: 0 });
  await writeAll(context.stdout, result.stdout);
  await writeAll(context.stderr, result.stderr);
  return result.exitCode;
}
