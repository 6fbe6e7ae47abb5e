import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readConfigFile } from '../../core/config/read-file.ts';
import { valueAt } from '../../core/config/tables.ts';
import { exists } from '../../utils/fs/exists.ts';
import { type RecordMade, type Step, whereAbsent } from './step.ts';

/** The step that writes the configuration file; one that exists is kept, and the `values` that it has otherwise are reported. */
export function configStep(file: string, text: string, values: ReadonlyMap<string, unknown>): Step {
  return {
    name: `configuration ${file}`,
    look: async () => {
      const existing = await readConfigFile(file);
      if (existing === undefined) {
        const keys = values.size === 0 ? 'every key at its default' : [...values.keys()].join(', ');
        return { text: `write it with comments, and ${keys}`, make: (record) => writeNew(file, text, 0o644, record) };
      }
      const differing = [...values].filter(
        ([key, value]) => JSON.stringify(valueAt(existing.table, key.split('.'))) !== JSON.stringify(value),
      );
      if (differing.length === 0) return { text: 'is there' };
      const written = differing.map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
      return { text: `exists and stays; setup would have written ${written.join(', ')}` };
    },
  };
}

/** The step that writes a file where it does not exist. */
export function fileStep(file: string, text: string): Step {
  return whereAbsent(
    file,
    () => exists(file),
    'write it',
    (record) => writeNew(file, text, 0o644, record),
  );
}

/**
 * Writes a file that must not exist, with the directory it is in, and records both.
 * @throws Error of the system when it exists or cannot be written.
 */
export async function writeNew(path: string, text: string, mode: number, record: RecordMade): Promise<void> {
  const directory = dirname(path);
  if (!(await exists(directory))) {
    await mkdir(directory);
    await record({ kind: 'directory', path: directory });
  }
  await writeFile(path, text, { mode, flag: 'wx', flush: true });
  await record({ kind: 'file', path, sha256: sha256(text) });
}

/** SHA-256 in hexadecimal. */
export function sha256(bytes: string | Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
