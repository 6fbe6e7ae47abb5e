import { z } from 'zod';
import { RECORD_FORMAT as FORMAT } from '../../state-layout.ts';
import { failedPrecondition } from '../../model/errors.ts';
import { readFormat1 } from './format1.ts';

const envelope = z.object({ format: z.int().positive() });
const content = z.object({
  revision: z.int().nonnegative(),
  record: z.unknown().optional(),
  removed: z.literal(true).optional(),
});
const oldContent = z.object({ record: z.unknown() });

/** How records of one kind are stored: decoding gives what is kept in memory, encoding what JSON can hold. */
export type RecordSchema<T> = z.ZodType<T>;

/** A record with the number of the write that made it; of two copies the higher one is the newer. */
export interface Revision<T> {
  revision: number;
  record: T;
}

/** The text of a record's file. */
export function formatRecord<T>(schema: RecordSchema<T>, { revision, record }: Revision<T>): string {
  return `${JSON.stringify({ format: FORMAT, revision, record: z.encode(schema, record) }, undefined, 2)}\n`;
}

/** The text of a copy that says: the record of this revision was removed, though its file may still be there. */
export function formatRemoval(revision: number): string {
  return `${JSON.stringify({ format: FORMAT, revision, removed: true })}\n`;
}

/**
 * The record that a file holds, in the present format or an older one; undefined when it says that it was removed.
 * @throws CriError FAILED_PRECONDITION for a format of a later version; Error for a damaged file.
 */
export function parseRecord<T>(schema: RecordSchema<T>, path: string, text: string): Revision<T | undefined> {
  const stored: unknown = JSON.parse(text);
  const { format } = envelope.parse(stored);
  if (format > FORMAT) {
    throw failedPrecondition(
      `${path}: format ${String(format)}, from a later version of this server; this one reads up to ` +
        `${String(FORMAT)}: install the later version again, or empty the root directory with its "wipe"`,
    );
  }
  // It told integers and bytes by tags among the data, which a label could look like.
  if (format === 1) {
    const { record } = oldContent.parse(readFormat1(text));
    return { revision: 0, record: z.decode(schema, record) };
  }
  const { revision, record, removed } = content.parse(stored);
  return { revision, record: removed ? undefined : z.decode(schema, record) };
}
