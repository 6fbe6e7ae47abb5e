import * as z from 'zod';
import type { Api } from '../api.ts';
import type { CallOptions } from '../call.ts';
import { boolean, listOf, optional, text, words } from '../lenient.ts';

const JOB = z.object({
  id: text,
  /** Absent is true. */
  enabled: optional(boolean),
  /** Takes every guest but those of `exclude`. */
  all: optional(boolean),
  exclude: words,
  vmid: words,
  pool: optional(text),
  node: optional(text),
  storage: optional(text),
  schedule: optional(text),
  comment: optional(text),
});
/** A scheduled backup; `exclude` and `vmid` are VMIDs as text. */
export type BackupJob = z.infer<typeof JOB>;

/** Backup jobs, which lock the guests that they take. Errors are those of `Api.call`. */
export class BackupJobs {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /** Needs Sys.Audit on `/`. */
  list(options?: CallOptions): Promise<BackupJob[]> {
    return this.#api.call({ method: 'GET', template: '/cluster/backup' }, listOf(JOB), options);
  }
}
