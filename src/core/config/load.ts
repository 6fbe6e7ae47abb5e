import { nearest } from './nearest.ts';
import { ConfigError } from './config-error.ts';
import { CONFIG_FLAGS, type ConfigFlag, type FlagValues } from './flag-names.ts';
import { declaredHandlers } from './handlers.ts';
import { locateKey } from './locate.ts';
import { problemsOf } from './problems.ts';
import { withShippedRouting } from './routing.ts';
import { type Config, configSchema } from './schema.ts';
import { readSources } from './sources.ts';
import { type KeyPath, type Table, mergeTables, valueAt } from './tables.ts';

export interface LoadOptions {
  /** The main file; it must exist when it is named here. Default: DEFAULT_CONFIG_FILE, which may be missing. */
  file?: string | undefined;
  /** Command-line overrides by the names in CONFIG_FLAGS. */
  flags?: FlagValues;
}

export interface LoadedConfig {
  config: Config;
  /** The files that were read, in the order they apply. */
  files: string[];
}

interface Source {
  /** A file's path or a flag. */
  name: string;
  text?: string;
  table: Table;
}

/**
 * Reads the main file, then `conf.d/*.toml` beside it by name, then the flags, each merged over the previous ones, and
 * validates the result. @throws ConfigError with every problem: file, line, key and remedy.
 */
export async function loadConfig(options: LoadOptions = {}): Promise<LoadedConfig> {
  const files = await readSources(options.file);
  const sources = files.map(({ path: name, text, table }): Source => ({ name, text, table }));
  return {
    config: checkConfig([...sources, ...flagSources(options.flags ?? {})]),
    files: files.map((file) => file.path),
  };
}

function flagSources(flags: FlagValues): Source[] {
  const sources: Source[] = [];
  for (const [name, value] of Object.entries(flags)) {
    if (value === undefined) continue;
    const flag = CONFIG_FLAGS.find((known) => known.name === name);
    if (flag === undefined) {
      const suggestion = nearest(
        name,
        CONFIG_FLAGS.map((known) => known.name),
      );
      throw new ConfigError([
        `--${name}: unknown flag${suggestion === undefined ? '' : `; did you mean "--${suggestion}"?`}`,
      ]);
    }
    sources.push({ name: `--${name}`, table: flagTable(flag, value) });
  }
  return sources;
}

function flagTable({ table, key }: ConfigFlag, value: string): Table {
  return table === '' ? { [key]: value } : { [table]: { [key]: value } };
}

/** Merges the sources, the later over the earlier, and validates. @throws ConfigError with every problem. */
export function checkConfig(sources: readonly Source[]): Config {
  const written = sources.reduce<Table>((below, { table }) => mergeTables(below, table), {});
  const merged = withShippedRouting(
    written,
    declaredHandlers().map(({ name }) => name),
  );
  const result = configSchema().safeParse(merged);
  if (result.success) return result.data;
  const problems = problemsOf(result.error.issues, merged);
  throw new ConfigError(problems.map(({ path, sentence }) => `${placeOf(sources, path)}: ${sentence}`));
}

/** The last source that sets `path` (or a table around it), with the line. */
function placeOf(sources: readonly Source[], path: KeyPath): string {
  for (let length = path.length; length > 0; length--) {
    const part = path.slice(0, length);
    const source = sources.findLast(({ table }) => valueAt(table, part) !== undefined);
    if (source === undefined) continue;
    const line = source.text === undefined ? undefined : locateKey(source.text, path);
    return line === undefined ? source.name : `${source.name}:${String(line)}`;
  }
  return 'configuration';
}
