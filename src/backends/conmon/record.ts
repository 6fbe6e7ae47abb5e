import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { isErrno } from '../../utils/errors.ts';
import { writeFileAtomic } from '../../utils/fs/atomic.ts';

/** startTime 0 belongs to no process: it had ended before it was read. */
const processRef = z.object({ pid: z.number().int().positive(), startTime: z.number().int().min(0) });

const schema = z.object({
  version: z.literal(1),
  /** The container's first process. */
  container: processRef,
  /** conmon. */
  monitor: processRef,
  cgroup: z.string(),
  logPath: z.string().optional(),
  /** conmon closes the container's input with the first attachment that ends. */
  inputOnce: z.boolean().optional(),
});

/** What the runner must know of a container after a restart of this server; the file `runner.json` of the bundle. */
export type RunnerRecord = z.output<typeof schema>;

export async function writeRecord(path: string, record: RunnerRecord): Promise<void> {
  await writeFileAtomic(path, JSON.stringify(record));
}

/** The record, or undefined when there is none: the container was never created completely. @throws Error when it is damaged. */
export async function readRecord(path: string): Promise<RunnerRecord | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
  return schema.parse(JSON.parse(text));
}
