import type { ContainerConfig } from '../../../../api/gen/cri.ts';
import { invalidArgument } from '../../model/errors.ts';
import type { ImageConfig } from '../../model/image.ts';
import { checkNoNul } from '../checks.ts';

const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * The argument vector: `command` replaces the image's Entrypoint and then Cmd too; `args` replaces Cmd (the table in the
 * Kubernetes documentation, "Define a Command and Arguments").
 * @throws CriError INVALID_ARGUMENT when nothing is left to run.
 */
export function containerArgs(config: ContainerConfig, image: ImageConfig['config']): string[] {
  const entrypoint = config.command.length > 0 ? config.command : image.Entrypoint;
  const rest = config.args.length > 0 || config.command.length > 0 ? config.args : image.Cmd;
  const argv = [...entrypoint, ...rest];
  if (argv.length === 0) throw invalidArgument('config.command', 'is empty, and the image names no command either');
  if (argv[0] === '') throw invalidArgument('config.command', 'its first word, the program, must not be empty');
  argv.forEach((word) => {
    checkNoNul('config.command and args', word);
  });
  return argv;
}

/**
 * The environment as `NAME=value`: PATH, TERM with a terminal, HOSTNAME, HOME, then the image's, then the request's;
 * a later one replaces an earlier one of the same name.
 * @throws CriError INVALID_ARGUMENT for a name that is empty or holds `=` or NUL, or a value that no C string can hold.
 */
export function containerEnv(
  config: ContainerConfig,
  image: ImageConfig['config'],
  facts: { hostname: string; home: string },
): string[] {
  const env = new Map<string, string>();
  const set = (text: string) => {
    const at = text.indexOf('=');
    if (at > 0) env.set(text.slice(0, at), text);
  };
  set(DEFAULT_PATH);
  if (config.tty) set('TERM=xterm');
  set(`HOSTNAME=${facts.hostname}`);
  set(`HOME=${facts.home}`);
  image.Env.forEach(set);
  config.envs.forEach(({ key, value }, index) => {
    const field = `config.envs[${String(index)}]`;
    if (key === '' || key.includes('='))
      throw invalidArgument(`${field}.key`, `${JSON.stringify(key)} must be a name without "="`);
    checkNoNul(`${field}.key`, key);
    set(`${key}=${decodeValue(`${field}.value`, value)}`);
  });
  return [...env.values()];
}

/** CRI's values are bytes, `config.json` is JSON text: what is not UTF-8 cannot be passed on, so it is refused. */
function decodeValue(field: string, value: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value);
  } catch (cause) {
    throw invalidArgument(field, `is not UTF-8 (${String(cause)}); encode binary values, for example as base64`);
  }
  checkNoNul(field, text);
  return text;
}

/** The working directory: the request's, the image's, or `/`. @throws CriError INVALID_ARGUMENT when it is not absolute. */
export function containerCwd(config: ContainerConfig, image: ImageConfig['config']): string {
  const cwd = config.workingDir || image.WorkingDir || '/';
  if (!cwd.startsWith('/'))
    throw invalidArgument('config.working_dir', `${JSON.stringify(cwd)} must be an absolute path`);
  checkNoNul('config.working_dir', cwd);
  return cwd;
}
