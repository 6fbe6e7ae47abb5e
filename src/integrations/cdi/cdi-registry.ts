import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ContainerEdits, DeviceRegistry } from '../../core/model/container-devices.ts';
import { failedPrecondition } from '../../core/model/errors.ts';
import { inspectPath, readText } from '../../host/paths.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import type { CdiSpec } from './cdi-spec.ts';

/** Files have a few kilobytes; a larger one is not a specification. */
const FILE_LIMIT_BYTES = 1024 * 1024;

/** The result of one scan of the directories. */
interface Found {
  /** By qualified name; two of them in one directory are in conflict. */
  devices: Map<string, { spec: CdiSpec; files: string[] }>;
  /** Problems of files, each with its path. */
  problems: string[];
}

/**
 * Devices of the CDI specification files (`*.json`, `*.yaml`) in a list of directories; a device in a later directory
 * replaces one with the same name in an earlier one. The files are read at each request, since drivers write them at
 * any time.
 */
export class CdiRegistry implements DeviceRegistry {
  readonly #directories: readonly string[];

  constructor(directories: readonly string[]) {
    this.#directories = directories;
  }

  async edits(names: readonly string[]): Promise<ContainerEdits[]> {
    if (names.length === 0) return [];
    const { devices, problems } = await this.#read();
    const edits = new Set<ContainerEdits>();
    const missing: string[] = [];
    for (const name of names) {
      const { spec, files } = devices.get(name) ?? { spec: undefined, files: [] };
      const device = spec?.devices.get(name.slice(name.indexOf('=') + 1));
      if (files.length > 1) missing.push(`${name} (ambiguous: ${files.join(' and ')})`);
      else if (spec === undefined || device === undefined) missing.push(name);
      else edits.add(spec.edits).add(device);
    }
    if (missing.length === 0) return [...edits];
    const where =
      this.#directories.length === 0 ? 'no directory (runtime.cdi_spec_dirs)' : this.#directories.join(', ');
    const wrong = problems.length === 0 ? '' : `; ${problems.join('; ')}`;
    throw failedPrecondition(`CDI device not found: ${missing.join(', ')}; searched ${where}${wrong}`);
  }

  async #read(): Promise<Found> {
    const found: Found = { devices: new Map(), problems: [] };
    for (const directory of this.#directories) {
      const { devices, problems } = await readDirectory(directory);
      for (const [name, device] of devices) found.devices.set(name, device);
      found.problems.push(...problems);
    }
    return found;
  }
}

async function readDirectory(directory: string): Promise<Found> {
  const found: Found = { devices: new Map(), problems: [] };
  // A stalled filesystem ends this scan, and blocks none of the few file threads.
  const names = await inspectPath(directory)
    .then(({ path }) => readdir(path))
    .catch((error: unknown) => {
      if (!isErrno(error, 'ENOENT')) found.problems.push(`${directory}: ${messageOf(error)}`);
      return [];
    });
  for (const name of names.filter((each) => /\.(json|yaml)$/.test(each)).sort()) {
    const path = join(directory, name);
    try {
      // Few nodes have devices, and YAML takes long to load.
      const { parseCdiSpec } = await import('./cdi-spec.ts');
      const spec = parseCdiSpec(await readText(path, FILE_LIMIT_BYTES), name.endsWith('.json') ? 'json' : 'yaml');
      for (const device of spec.devices.keys()) {
        const qualified = `${spec.kind}=${device}`;
        const files = found.devices.get(qualified)?.files ?? [];
        found.devices.set(qualified, { spec, files: [...files, path] });
      }
    } catch (error) {
      found.problems.push(`${path}: ${messageOf(error)}`);
    }
  }
  return found;
}
