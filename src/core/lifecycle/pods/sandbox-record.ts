import * as z from 'zod';
import type { PodMetadata, PodSpec } from '../../model/pod-spec.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import { integer, json, upgraded } from '../records/codecs.ts';
import type { RecordSchema } from '../records/record-file.ts';

/** Reads the `config` and later `resources` of the request, which older records of a pod have instead of a spec. */
export type StoredPod = (stored: Record<string, unknown>) => Pick<SandboxRecord, 'spec' | 'request'>;

const text = z.string();

const stored = z.object({
  id: text,
  handler: text,
  handlerChosenBy: text.exactOptional(),
  spec: json<PodSpec>(),
  request: z.unknown(),
  handle: z.record(text, z.unknown()).exactOptional(),
  phase: z.enum(['creating', 'ready', 'stopped']),
  createdAt: integer,
  network: z
    .object({
      ips: z.array(text),
      networks: z.array(z.object({ ifName: text, conflist: text, result: text })),
      prepared: z.object({ id: text, namespace: text }).exactOptional(),
    })
    .exactOptional(),
  bootId: text,
} satisfies Record<keyof SandboxRecord, z.ZodType>);

/** The schema of a pod's record. @param older reads the records of earlier versions. */
export function sandboxSchema(older: StoredPod): RecordSchema<SandboxRecord> {
  return upgraded(stored, ({ config, resources, ...rest }) =>
    config === undefined ? rest : { ...rest, ...older({ config, resources }) },
  );
}

/** The identity of a pod (CRI PodSandboxMetadata): namespace, name, uid and attempt, separated by slashes. */
export function podName({ name, namespace, uid, attempt }: PodMetadata): string {
  return [namespace, name, uid, attempt].map(encodeURIComponent).join('/');
}
