import type { CliContext, Input } from '../command.ts';
import { ServerClient } from './server.ts';

/**
 * A client for the server that `--address`, else the file of `--config`, else CONTAINER_RUNTIME_ENDPOINT (as crictl has it),
 * else the configuration names. @throws ConfigError, UsageError
 */
export async function connectServer(context: CliContext, input: Input): Promise<ServerClient> {
  const file = input.text('config');
  const fromEnvironment = file === undefined ? context.env['CONTAINER_RUNTIME_ENDPOINT'] : undefined;
  return new ServerClient(input.text('address') ?? (fromEnvironment || (await configuredAddress(file))));
}

async function configuredAddress(file: string | undefined): Promise<string> {
  const { configuredListen } = await import('../../core/config/listen-address.ts');
  return configuredListen(file);
}
