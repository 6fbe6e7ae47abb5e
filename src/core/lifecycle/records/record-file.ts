import * as z from 'zod';
import { RECORD_FORMAT as FORMAT } from '../../state-layout.ts';
import { failedPrecondition } from '../../model/errors.ts';
import { readFormat1 } from './format1.ts';

const envelope = z.object({ format: z.int().positive() });
const content = z.object({
  revision: z.int().nonnegative(),
  record: z.unknown().optional(),
  removed: z.literal(true).optional(),
  /** Of a backup: there may be no file beside it, because nothing of it outlives the boot. */
  draft: z.literal(true).optional(),
});
const oldContent = z.object({ record: z.unknown() });

/** The schema of records of one kind: decoding results in the value in memory, encoding in a JSON value. */
export type RecordSchema<T> = z.ZodType<T>;

/** A record with the revision of its write; the higher revision of two files is the newer one. */
export interface Revision<T> {
  revision: number;
  record: T;
  /** Whether it was written to the backup alone. */
  isDraft?: boolean;
}

/** The content of a record's file. */
export function formatRecord<T>(schema: RecordSchema<T>, { revision, record, isDraft = false }: Revision<T>): string {
  const draft = isDraft && { draft: true };
  return `${JSON.stringify({ format: FORMAT, revision, ...draft, record: z.encode(schema, record) }, undefined, 2)}\n`;
}

/** The content of a backup that marks the record of this revision as removed, although its file may still exist. */
export function formatRemoval(revision: number): string {
  return `${JSON.stringify({ format: FORMAT, revision, removed: true })}\n`;
}

/**
 * The record of a file, in the current format or an older one; undefined when it is marked as removed.
 * @throws CriError FAILED_PRECONDITION for a format of a later version; Error for a damaged file.
 */
export function parseRecord<T>(schema: RecordSchema<T>, path: string, text: string): Revision<T | undefined> {
  const stored: unknown = JSON.parse(text);
  const { format } = envelope.parse(stored);
  if (format > FORMAT) {
    throw failedPrecondition(
      `${path}: format ${String(format)} was written by a later version of this server; this version supports up to ` +
        `${String(FORMAT)}; install the later version, or remove the data with its "wipe"`,
    );
  }
  // It marked integers and bytes by tags in the data, which could be confused with labels.
  if (format === 1) {
    const { record } = oldContent.parse(readFormat1(text));
    return { revision: 0, record: z.decode(schema, record) };
  }
  const { revision, record, removed, draft: isDraft } = content.parse(stored);
  return { revision, record: removed ? undefined : z.decode(schema, record), ...(isDraft && { isDraft }) };
}
