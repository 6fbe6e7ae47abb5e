import { z } from 'zod';
import { LinuxContainerResources, PodSandboxConfig } from '../../../../api/gen/cri.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import { integer, message } from '../records/codecs.ts';
import type { RecordSchema } from '../records/record-file.ts';

const text = z.string();

/** How a pod sandbox is stored. */
export const sandboxSchema: RecordSchema<SandboxRecord> = z.object({
  id: text,
  handler: text,
  config: message(PodSandboxConfig),
  phase: z.enum(['creating', 'ready', 'stopped']),
  createdAt: integer,
  network: z
    .object({
      ips: z.array(text),
      networks: z.array(z.object({ ifName: text, conflist: text, result: text })),
    })
    .exactOptional(),
  resources: z
    .object({
      overhead: message(LinuxContainerResources).exactOptional(),
      resources: message(LinuxContainerResources).exactOptional(),
    })
    .exactOptional(),
  bootId: text,
} satisfies Record<keyof SandboxRecord, z.ZodType>);

/** What tells one pod from another (CRI PodSandboxMetadata). */
export function podName(config: PodSandboxConfig): string {
  const metadata = config.metadata;
  return [metadata?.name, metadata?.namespace, metadata?.uid, String(metadata?.attempt ?? 0)].join('\n');
}
