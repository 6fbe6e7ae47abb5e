import type { ContainerSpec } from '../../model/container-spec.ts';
import { invalidArgument } from '../../model/errors.ts';
import type { ImageConfig } from '../../model/image.ts';
import { checkNoNul } from '../checks.ts';

const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * The argument vector: `command` replaces the image's Entrypoint and then Cmd too; `args` replaces Cmd (the table in the
 * Kubernetes documentation, "Define a Command and Arguments").
 * @throws CriError INVALID_ARGUMENT when there is no command.
 */
export function containerArgs(
  { command, args }: Pick<ContainerSpec, 'command' | 'args'>,
  image: ImageConfig['config'],
): string[] {
  const entrypoint = command.length > 0 ? command : image.Entrypoint;
  const rest = args.length > 0 || command.length > 0 ? args : image.Cmd;
  const argv = [...entrypoint, ...rest];
  if (argv.length === 0) throw invalidArgument('config.command', 'is empty, and the image has no command');
  if (argv[0] === '') throw invalidArgument('config.command', 'the first element, the program, must not be empty');
  argv.forEach((word) => {
    checkNoNul("the image's Entrypoint and Cmd", word);
  });
  return argv;
}

/**
 * The environment as `NAME=value`: PATH, TERM with a terminal, HOSTNAME, HOME, then the image's, then the request's;
 * a later one replaces an earlier one of the same name.
 */
export function containerEnv(
  asked: Pick<ContainerSpec, 'env' | 'tty'>,
  image: ImageConfig['config'],
  facts: { hostname: string; home: string },
): string[] {
  const env = new Map<string, string>();
  const set = (text: string) => {
    const at = text.indexOf('=');
    if (at > 0) env.set(text.slice(0, at), text);
  };
  set(DEFAULT_PATH);
  if (asked.tty) set('TERM=xterm');
  set(`HOSTNAME=${facts.hostname}`);
  set(`HOME=${facts.home}`);
  image.Env.forEach(set);
  for (const { name, value } of asked.env) set(`${name}=${value}`);
  return [...env.values()];
}

/** The working directory: the request's, the image's, or `/`. @throws CriError INVALID_ARGUMENT when the image's is not absolute. */
export function containerCwd(asked: string, image: ImageConfig['config']): string {
  if (asked !== '') return asked;
  const cwd = image.WorkingDir || '/';
  if (!cwd.startsWith('/'))
    throw invalidArgument("the image's WorkingDir", `${JSON.stringify(cwd)} must be an absolute path`);
  checkNoNul("the image's WorkingDir", cwd);
  return cwd;
}
