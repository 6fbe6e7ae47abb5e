import { readFileSync } from 'node:fs';
import * as z from 'zod';
import { isErrno } from '../../utils/errors.ts';
import { replaceFile } from '../../utils/fs/atomic.ts';

/** startTime 0 belongs to no process: it had ended before it was read. */
const processRef = z.object({ pid: z.number().int().positive(), startTime: z.number().int().min(0) });

/** Known before anything is started. */
const draft = z.object({
  version: z.literal(1),
  cgroup: z.string(),
  /** Of the sandbox's monitors; missing in records of earlier versions, whose monitors have no cgroup of their own. */
  monitorCgroup: z.string().optional(),
  logPath: z.string().optional(),
  /** The end of the first attachment closes the container's input. */
  inputOnce: z.boolean().optional(),
  /**
   * Names of the hooks in its OCI configuration; missing where the runtime must be called for a start and a removal in any case:
   * one that is not crun, and in records of earlier versions.
   */
  hooks: z.array(z.string()).optional(),
});

const complete = draft.extend({
  /** The container's first process. */
  container: processRef,
  /** conmon. */
  monitor: processRef,
});

/** The record before the monitor starts: enough to remove everything that it creates. */
export type RecordDraft = z.output<typeof draft>;

/** What the runner must know of a container after a restart of this server; the file `runner.json` of the bundle. */
export type RunnerRecord = z.output<typeof complete>;

/** Writes the record, which replaces its draft. */
export function writeRecord(path: string, record: RecordDraft | RunnerRecord): void {
  replaceFile(path, JSON.stringify(record));
}

/** The record, or undefined when there is none, it is damaged, or the container was never created completely. */
export function readRecord(path: string): RunnerRecord | undefined {
  return complete.safeParse(readJson(path)).data;
}

/** The record or its draft; undefined when there is none, or it is damaged. */
export function readDraft(path: string): RecordDraft | undefined {
  return draft.safeParse(readJson(path)).data;
}

/** undefined for invalid JSON: a full disk leaves such files. Read at once: it is in memory, as the state directory is. */
function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError || isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}
