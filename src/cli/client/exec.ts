import { ExecRequest, ExecSyncRequest, RuntimeServiceService } from '../../../api/gen/cri.ts';
import { type CliContext, type Input, UsageError } from '../command.ts';
import { writeAll } from '../output/write.ts';
import { foregroundSession, requireTerminal, streamFlags } from '../stream/session.ts';
import { wholeNumber } from '../values.ts';
import { resolve } from './resolve.ts';
import type { ServerClient } from './server.ts';

/**
 * Runs a command in a container with this process's streams. With --timeout it has no input, and its output is printed
 * after it exited. @returns its exit code. @throws UsageError, CriError
 */
export async function execCommand(context: CliContext, server: ServerClient, input: Input): Promise<number> {
  const [word = '', ...cmd] = input.args;
  const options = { stdin: input.has('interactive'), output: true, tty: input.has('tty'), detachKeys: Buffer.alloc(0) };
  requireTerminal(context, options);
  const seconds = wholeNumber('timeout', input.text('timeout') ?? '0');
  if (seconds > 0 && (options.stdin || options.tty)) throw new UsageError('--timeout cannot be combined with -i or -t');
  const { id: containerId } = await resolve(server, word, ['container']);
  if (seconds > 0) return execSync(context, server, { containerId, cmd, timeout: BigInt(seconds) });
  const request = ExecRequest.create({ containerId, cmd, ...streamFlags(options) });
  const { url } = await server.call(RuntimeServiceService.exec, request);
  return (await foregroundSession(context, url, options)).exitCode;
}

async function execSync(
  context: CliContext,
  server: ServerClient,
  request: { containerId: string; cmd: string[]; timeout: bigint },
): Promise<number> {
  const options = { timeoutMs: 0 };
  const result = await server.call(RuntimeServiceService.execSync, ExecSyncRequest.create(request), options);
  await writeAll(context.stdout, result.stdout);
  await writeAll(context.stderr, result.stderr);
  return result.exitCode;
}
