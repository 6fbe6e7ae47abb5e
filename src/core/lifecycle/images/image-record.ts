import * as z from 'zod';
import type { ImageRecord } from '../../model/image.ts';
import { dictionary, integer } from '../records/codecs.ts';
import type { RecordSchema } from '../records/record-file.ts';

const text = z.string();
const texts = z.array(text);
const digest = text.regex(/^sha256:[0-9a-f]{64}$/);

const stored = z.object({
  id: digest,
  repoTags: texts,
  repoDigests: texts,
  size: integer,
  manifestDigest: digest,
  config: z.object({
    architecture: text,
    os: text,
    config: z.object({
      User: text,
      Env: texts,
      Entrypoint: texts,
      Cmd: texts,
      WorkingDir: text,
      Volumes: texts,
      StopSignal: text,
      Labels: dictionary,
      ExposedPorts: texts,
    }),
    diffIds: z.array(digest),
  }),
  chainId: digest.exactOptional(),
  pulledAt: integer,
  addresses: texts.exactOptional(),
  pinned: z.boolean(),
} satisfies Record<keyof ImageRecord, z.ZodType>);

/** The schema of an image's record. */
export const imageSchema: RecordSchema<ImageRecord> = z.codec(stored, z.custom<ImageRecord>(), {
  decode: (record) => ({ ...record, chainId: record.chainId }),
  encode: ({ chainId, ...record }) => ({ ...record, ...(chainId !== undefined && { chainId }) }),
});
