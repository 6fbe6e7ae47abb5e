import { failedPrecondition } from '../../core/model/errors.ts';
import { readJson } from './answers/json.ts';
import { readLines } from './answers/lines.ts';
import type { Entry } from './answers/properties.ts';
import { isAtLeast, OLDEST, readVersions, type Versions, WITH_JSON } from './answers/version.ts';
import type { CallOptions, Commands } from './commands.ts';
import { isKind, ZfsError } from './errors/zfs-error.ts';
import { checkProperty } from './names.ts';

/** How `get` prints: as JSON (2.3 and later), or as lines for scripts. */
export type Dialect = 'json' | 'lines';

/** A `get` of one program. */
export interface Reading {
  program: 'zfs' | 'zpool';
  /** Options such as `-r`, then, after the properties, the names. */
  options: readonly string[];
  properties: readonly string[];
  names: readonly string[];
  /** For errors; empty: all of them. */
  object: string;
}

/** Runs `zfs get` and `zpool get`, and reads what this version prints. */
export class PropertiesReader {
  readonly #commands: Commands;
  readonly #forced: Dialect | undefined;
  #versions: Promise<Versions> | undefined;

  /** @param dialect by default the best one that the version has. */
  constructor(commands: Commands, dialect?: Dialect) {
    this.#commands = commands;
    this.#forced = dialect;
  }

  /**
   * The versions of the tools and the kernel module, asked for once.
   * @throws ZfsError noZfs, unsupported for one before 2.1.
   */
  versions(options?: CallOptions): Promise<Versions> {
    this.#versions ??= this.#readVersions(options).catch((error: unknown) => {
      this.#versions = undefined;
      throw error;
    });
    return this.#versions;
  }

  /** The objects with the properties, in the program's order. @throws ZfsError. */
  async read(reading: Reading, options?: CallOptions): Promise<Entry[]> {
    if (reading.properties.length === 0) throw failedPrecondition('zfs get: no properties');
    reading.properties.forEach(checkProperty);
    const dialect = this.#forced ?? (isAtLeast((await this.versions(options)).tools, WITH_JSON) ? 'json' : 'lines');
    if (dialect === 'lines') return this.#lines(reading, options);
    try {
      return readJson(`${reading.program} get`, await this.#get(reading, ['-jp'], options));
    } catch (error) {
      // Printing stops at a value that is no text in the locale (nvlist_print_json_string); the other dialect prints any bytes.
      if (!isKind(error, 'badAnswer')) throw error;
      return this.#lines(reading, options);
    }
  }

  async #lines(reading: Reading, options?: CallOptions): Promise<Entry[]> {
    const output = await this.#get(reading, ['-Hp', '-o', 'name,property,value,source'], options);
    return readLines(`${reading.program} get`, output, reading.properties);
  }

  #get(reading: Reading, format: readonly string[], options?: CallOptions): Promise<string> {
    const { program, properties, names, object } = reading;
    const args = ['get', ...format, ...reading.options, properties.join(','), ...names];
    return this.#commands.run({ program, args, object, changes: false }, options);
  }

  async #readVersions(options?: CallOptions): Promise<Versions> {
    const text = await this.#commands.run(
      { program: 'zfs', args: ['version'], object: '', changes: false },
      // Those who wait for the same answer must not be cut off with the first one.
      { timeoutMs: options?.timeoutMs },
    );
    const versions = readVersions(text);
    if (versions === undefined) throw new ZfsError('badAnswer', '', 'zfs version: unexpected output');
    if (isAtLeast(versions.tools, OLDEST)) return versions;
    const { major, minor } = OLDEST;
    throw new ZfsError(
      'unsupported',
      '',
      `zfs version: ${versions.tools.text} is older than ${major}.${minor}; install OpenZFS ${major}.${minor} or later`,
    );
  }
}
