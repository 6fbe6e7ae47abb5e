import * as z from 'zod';
import type { ContainerRecord } from '../../model/container.ts';
import type { ContainerSpec } from '../../model/container-spec.ts';
import { integer, json, upgraded } from '../records/codecs.ts';
import type { RecordSchema } from '../records/record-file.ts';

/** Reads the `config` of the request, which older records of a container have instead of a spec. */
export type StoredContainer = (stored: Record<string, unknown>) => Pick<ContainerRecord, 'spec' | 'request'>;

const text = z.string();

const stored = z.object({
  id: text,
  sandboxId: text,
  spec: json<ContainerSpec>(),
  request: z.unknown(),
  imageId: text,
  imageRef: text,
  rootfsStore: text.exactOptional(),
  mountedImages: z.array(z.object({ mount: z.int(), imageId: text })).exactOptional(),
  phase: z.enum(['creating', 'created', 'starting', 'running', 'exited']),
  logPath: text,
  user: z.object({ uid: z.number(), gid: z.number(), supplementalGroups: z.array(z.number()) }),
  stopSignal: z.int(),
  createdAt: integer,
  startedAt: integer,
  finishedAt: integer,
  exitCode: z.int(),
  reason: text,
  message: text,
} satisfies Record<keyof ContainerRecord, z.ZodType>);

/** The schema of a container's record. @param older reads the records of earlier versions. */
export function containerSchema(older: StoredContainer): RecordSchema<ContainerRecord> {
  return upgraded(stored, ({ config, ...rest }) => (config === undefined ? rest : { ...rest, ...older({ config }) }));
}
