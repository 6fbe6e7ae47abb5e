import { z } from 'zod';
import type { PodMetadata, PodSpec } from '../../model/pod-spec.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import { integer, json, upgraded } from '../records/codecs.ts';
import type { RecordSchema } from '../records/record-file.ts';

/** Reads what an older record of a pod holds in place of a spec: the request's `config`, and `resources` told later. */
export type StoredPod = (stored: Record<string, unknown>) => Pick<SandboxRecord, 'spec' | 'request'>;

const text = z.string();

const stored = z.object({
  id: text,
  handler: text,
  spec: json<PodSpec>(),
  request: z.unknown(),
  handle: z.record(text, z.unknown()).exactOptional(),
  phase: z.enum(['creating', 'ready', 'stopped']),
  createdAt: integer,
  network: z
    .object({
      ips: z.array(text),
      networks: z.array(z.object({ ifName: text, conflist: text, result: text })),
    })
    .exactOptional(),
  bootId: text,
} satisfies Record<keyof SandboxRecord, z.ZodType>);

/** How a pod sandbox is stored. @param older what reads the records of earlier versions. */
export function sandboxSchema(older: StoredPod): RecordSchema<SandboxRecord> {
  return upgraded(stored, ({ config, resources, ...rest }) =>
    config === undefined ? rest : { ...rest, ...older({ config, resources }) },
  );
}

/** What tells one pod from another (CRI PodSandboxMetadata): namespace, name, uid and attempt, with slashes between them. */
export function podName({ name, namespace, uid, attempt }: PodMetadata): string {
  return [namespace, name, uid, attempt].map(encodeURIComponent).join('/');
}
