import { readFileSync } from 'node:fs';

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // The process ends at any moment.
    return '';
  }
}

/** The process id that a machine's file says, while the process is one of that machine; undefined otherwise. */
export function livingPid(pidFile: string): number | undefined {
  const pid = Number(read(pidFile).trim());
  // A process that has ended has no command line, though its parent may not know yet.
  return pid > 0 && read(`/proc/${pid}/cmdline`).split('\0').includes(pidFile) ? pid : undefined;
}

/** Milliseconds of processor time that a process has used. */
export function processorTime(pid: number): number {
  // The name of the program, in parentheses, may have blanks; after it, the times are fields 11 and 12 in hundredths.
  const fields = read(`/proc/${pid}/stat`)
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * 10;
}
