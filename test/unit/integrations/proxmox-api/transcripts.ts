import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where the recorded exchanges lie: beside the checkout, not in it. */
export const TRANSCRIPTS = join(import.meta.dirname, '../../../../../shared/data/pve-transcripts');

/** One answer that is not 200, as it was recorded. */
export interface RecordedError {
  file: string;
  method: string;
  path: string;
  status: number;
  reason: string;
  body: string;
}

/** The error answers of all transcripts; undefined where there are none on this machine. */
export function readErrors(): RecordedError[] | undefined {
  let files: string[];
  try {
    files = readdirSync(TRANSCRIPTS).filter((name) => name.endsWith('.txt'));
  } catch {
    return undefined;
  }
  return files.sort().flatMap((file) => errorsOf(file, readFileSync(join(TRANSCRIPTS, file), 'utf8')));
}

/** An exchange begins with `### METHOD PATH`, its answer with the status line; headers end with `Content-Type` or a `{`. */
function errorsOf(file: string, text: string): RecordedError[] {
  return text.split(/^###? /m).flatMap((exchange) => {
    const [, method, path] = /^(?:\[[^\]]*\] )?(GET|POST|PUT|DELETE|PATCH) (\S+)/.exec(exchange) ?? [];
    const [, status, reason = ''] = /^HTTP\/1\.1 ([45]\d\d) (.*)$/m.exec(exchange) ?? [];
    if (method === undefined || path === undefined || status === undefined) return [];
    const body = /^\{.*\}$/m.exec(exchange)?.[0] ?? '';
    return [{ file, method, path, status: Number(status), reason: reason.trim(), body }];
  });
}
