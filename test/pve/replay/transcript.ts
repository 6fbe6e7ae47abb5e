import { readFileSync } from 'node:fs';

/** One recorded request and its answer, or a file of the node as it was seen. */
export interface Exchange {
  readonly file: string;
  /** Where it stands in its file, from 1. */
  readonly number: number;
  /** Remarks just before it. */
  readonly remarks: readonly string[];
  /** What follows `### `. */
  readonly request: string;
  readonly status?: number;
  readonly reason?: string;
  readonly body: string;
}

/** What makes an exchange known in lists: its file and request. */
export function titleOf({ file, number, request }: Exchange): string {
  return `${file} ${number}: ${request.slice(0, 90)}`;
}

/** Whether the entry shows a file instead of a request. */
export function isFileView({ request }: Exchange): boolean {
  return request.startsWith('FILE ');
}

/** The exchanges of one transcript. */
export function parseTranscript(path: string, file: string): Exchange[] {
  const exchanges: Exchange[] = [];
  let remarks: string[] = [];
  let lines: string[] | undefined;
  let request = '';
  const finish = (): void => {
    if (lines === undefined) return;
    const [, status, reason = ''] = /^HTTP\/1\.1 (\d+) ?(.*)$/.exec(lines[0] ?? '') ?? [];
    const content = lines
      .slice(status === undefined ? 0 : 1)
      .filter((line) => !/^(?:Connection|Content-[A-Za-z]+): /.test(line));
    exchanges.push({
      file,
      number: exchanges.length + 1,
      remarks,
      request,
      ...(status === undefined ? {} : { status: Number(status), reason }),
      body: content.join('\n').trim(),
    });
    remarks = [];
    lines = undefined;
  };
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line.startsWith('### ')) {
      finish();
      request = line.slice(4);
      lines = [];
    } else if (line.startsWith('## ')) {
      finish();
      remarks.push(line.slice(3));
    } else if (lines !== undefined && !(line.startsWith('HTTP/1.1 ') && lines.length > 0)) lines.push(line);
    else if (line !== '') {
      finish();
      // An answer whose request was not recorded.
      request = '';
      lines = [line];
    }
  }
  finish();
  return exchanges;
}
