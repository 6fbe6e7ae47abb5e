import { PodSandboxConfig } from '../../../../api/gen/cri.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';

/** What tells one pod from another (CRI PodSandboxMetadata). */
export function podName(config: PodSandboxConfig): string {
  const metadata = config.metadata;
  return [metadata?.name, metadata?.namespace, metadata?.uid, String(metadata?.attempt ?? 0)].join('\n');
}

/** A record as it was stored, with what older versions did not write. */
export function parseSandboxRecord(stored: Record<string, unknown> & { id: string }): SandboxRecord {
  const record = stored as unknown as SandboxRecord;
  return { ...record, config: PodSandboxConfig.fromPartial(record.config) };
}
