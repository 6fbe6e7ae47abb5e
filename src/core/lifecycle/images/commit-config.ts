import { posix } from 'node:path';
import { invalidArgument } from '../../model/errors.ts';

/** What a new image says of itself, beside its files. */
export interface CommitOptions {
  /** Instructions of a Dockerfile, `CMD=…` or `CMD …`: see {@link committedConfig}. */
  changes: readonly string[];
  author: string;
  message: string;
}

/** The image configuration as it is written; what this server does not know stays. */
type Json = Record<string, unknown>;

/** The command of an instruction, and what changes with its value in the process configuration. */
const INSTRUCTIONS: Readonly<Record<string, (config: Json, value: string, field: string) => Json>> = {
  CMD: (config, value, field) => ({ ...config, Cmd: command(value, field) }),
  ENTRYPOINT: (config, value, field) => ({ ...config, Entrypoint: command(value, field) }),
  ENV: (config, value, field) => {
    const [key, text] = keyValue(value, field);
    const others = strings(config['Env']).filter((each) => !each.startsWith(`${key}=`));
    return { ...config, Env: [...others, `${key}=${text}`] };
  },
  EXPOSE: (config, value, field) => ({
    ...config,
    ExposedPorts: {
      ...object(config['ExposedPorts']),
      ...Object.fromEntries(words(value).map((port) => [portOf(port, field), {}])),
    },
  }),
  LABEL: (config, value, field) => {
    const [key, text] = keyValue(value, field);
    return { ...config, Labels: Object.fromEntries([...Object.entries(object(config['Labels'])), [key, text]]) };
  },
  STOPSIGNAL: (config, value) => ({ ...config, StopSignal: value }),
  USER: (config, value) => ({ ...config, User: value }),
  VOLUME: (config, value, field) => ({
    ...config,
    Volumes: { ...object(config['Volumes']), ...Object.fromEntries(paths(value, field).map((path) => [path, {}])) },
  }),
  WORKDIR: (config, value) => {
    const before = typeof config['WorkingDir'] === 'string' ? config['WorkingDir'] : '';
    return { ...config, WorkingDir: posix.resolve('/', before, value) };
  },
};

/**
 * The configuration of an image that has one more layer than its base. An ENTRYPOINT removes the base's CMD, unless there is
 * one among the changes, as in a Dockerfile.
 * @param base the configuration of the base. @param layer digest of the new layer's tar. @param created ISO 8601.
 * @throws CriError INVALID_ARGUMENT for a base that is no JSON object, and for an instruction that it does not know.
 */
export function committedConfig(
  base: Buffer,
  {
    layer,
    created,
    createdBy,
    changes,
    author,
    message,
  }: CommitOptions & { layer: string; created: string; createdBy: string },
): Buffer {
  const { container, container_config, ...document } = object(JSON.parse(base.toString('utf8')));
  void [container, container_config];
  const { diff_ids: layers } = object(object(document)['rootfs']) as { diff_ids?: unknown };
  const history = Array.isArray(document['history']) ? (document['history'] as unknown[]) : [];
  const step = {
    created,
    created_by: createdBy,
    ...(author !== '' && { author }),
    ...(message !== '' && { comment: message }),
  };
  return Buffer.from(
    JSON.stringify({
      ...document,
      created,
      ...(author !== '' && { author }),
      config: apply(object(document['config']), changes),
      rootfs: { type: 'layers', diff_ids: [...strings(layers), layer] },
      history: [...history, step],
    }),
  );
}

function apply(config: Json, changes: readonly string[]): Json {
  let changed = config;
  const seen = new Set<string>();
  for (const [index, text] of changes.entries()) {
    const field = `changes[${String(index)}]`;
    const [, name = '', value = ''] = /^\s*([a-z]+)(?:\s*=\s*|\s+)(.+?)\s*$/is.exec(text) ?? [];
    const instruction = INSTRUCTIONS[name.toUpperCase()];
    if (instruction === undefined) {
      const known = Object.keys(INSTRUCTIONS).join(', ');
      throw invalidArgument(field, `${JSON.stringify(text.slice(0, 300))} is none of ${known} with a value`);
    }
    seen.add(name.toUpperCase());
    changed = instruction(changed, value, field);
  }
  if (!seen.has('ENTRYPOINT') || seen.has('CMD')) return changed;
  return { ...changed, Cmd: [] };
}

/** A JSON list of strings, or a command for the shell. */
function command(value: string, field: string): string[] {
  return jsonStrings(value, field) ?? ['/bin/sh', '-c', value];
}

function paths(value: string, field: string): string[] {
  return jsonStrings(value, field) ?? words(value);
}

function jsonStrings(value: string, field: string): string[] | undefined {
  if (!value.startsWith('[')) return undefined;
  try {
    const list: unknown = JSON.parse(value);
    if (Array.isArray(list) && list.every((each) => typeof each === 'string')) return list;
  } catch {
    // Reported like a list of other values.
  }
  throw invalidArgument(field, `${JSON.stringify(value.slice(0, 300))} is no JSON list of strings`);
}

/** `KEY=VALUE` or `KEY VALUE`; quotes around the value are removed. */
function keyValue(value: string, field: string): [string, string] {
  const [, key, text] = /^([^\s=]+)(?:=|\s+)(.*)$/s.exec(value) ?? [];
  if (key === undefined || text === undefined) throw invalidArgument(field, 'must be KEY=VALUE');
  return [key, /^(["'])(.*)\1$/s.exec(text)?.[2] ?? text];
}

function portOf(port: string, field: string): string {
  const [, number, protocol = 'tcp'] = /^(\d{1,5}(?:-\d{1,5})?)(?:\/(tcp|udp|sctp))?$/.exec(port) ?? [];
  if (number === undefined)
    throw invalidArgument(field, `${JSON.stringify(port.slice(0, 100))} is no port such as 80 or 53/udp`);
  return `${number}/${protocol}`;
}

function words(value: string): string[] {
  return value.split(/\s+/);
}

function object(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}
