import type { Input } from '../command.ts';
import { ServerClient } from './server.ts';

/** A client for the server that `--address`, or else the configuration, names. @throws ConfigError, UsageError */
export async function connectServer(input: Input): Promise<ServerClient> {
  return new ServerClient(input.text('address') ?? (await configuredAddress(input.text('config'))));
}

async function configuredAddress(file: string | undefined): Promise<string> {
  const { loadConfig } = await import('../../core/config/load.ts');
  return (await loadConfig({ file })).config.grpc.listen;
}
