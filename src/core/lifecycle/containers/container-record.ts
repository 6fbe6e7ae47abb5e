import { z } from 'zod';
import { ContainerConfig } from '../../../../api/gen/cri.ts';
import type { ContainerRecord } from '../../model/container.ts';
import { integer, message } from '../records/codecs.ts';
import type { RecordSchema } from '../records/record-file.ts';

const text = z.string();

/** How a container is stored. */
export const containerSchema: RecordSchema<ContainerRecord> = z.object({
  id: text,
  sandboxId: text,
  config: message(ContainerConfig),
  imageId: text,
  imageRef: text,
  mountedImages: z.array(z.object({ mount: z.int(), imageId: text, imageRef: text })).exactOptional(),
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
