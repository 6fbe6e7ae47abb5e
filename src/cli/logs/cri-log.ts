/** One entry of a log file in CRI format. */
export interface LogEntry {
  /** RFC 3339 with nanoseconds; empty for a line that is not in CRI format. */
  time: string;
  stream: 'stdout' | 'stderr';
  /** Output of the container: a line with its newline, or a part of a line that is too long or incomplete. */
  content: Buffer;
}

const NEWLINE = 0x0a;
const SPACE = 0x20;

/**
 * Parses log files in CRI format, `TIME STREAM TAG[:TAG…] CONTENT`: tag F ends a line, P is a part of one, so that the
 * concatenated contents are the container's output. Accepts the file in arbitrary chunks.
 */
export class CriLogParser {
  #rest: Buffer[] = [];

  push(chunk: Buffer): LogEntry[] {
    const entries: LogEntry[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      entries.push(parseLine(this.#take(chunk.subarray(start, end))));
      start = end + 1;
    }
    if (start < chunk.length) this.#rest.push(Buffer.from(chunk.subarray(start)));
    return entries;
  }

  /** The incomplete last line of the file. */
  finish(): LogEntry[] {
    const line = this.#take(Buffer.alloc(0));
    return line.length === 0 ? [] : [parseLine(line)];
  }

  #take(end: Buffer): Buffer {
    if (this.#rest.length === 0) return end;
    const line = Buffer.concat([...this.#rest, end]);
    this.#rest = [];
    return line;
  }
}

function parseLine(line: Buffer): LogEntry {
  const time = wordAt(line, 0);
  const stream = wordAt(line, time.length + 1);
  const tags = wordAt(line, time.length + stream.length + 2);
  const head = time.length + stream.length + tags.length + 3;
  const tag = tags.split(':', 1)[0];
  if (!/^\d{4}-\d\d-\d\dT/.test(time) || (stream !== 'stdout' && stream !== 'stderr') || (tag !== 'F' && tag !== 'P')) {
    return { time: '', stream: 'stdout', content: Buffer.concat([line, Buffer.of(NEWLINE)]) };
  }
  const content = line.subarray(head);
  return { time, stream, content: tag === 'P' ? content : Buffer.concat([content, Buffer.of(NEWLINE)]) };
}

function wordAt(line: Buffer, start: number): string {
  const end = line.indexOf(SPACE, Math.min(start, line.length));
  return line.toString('latin1', start, end < 0 ? line.length : end);
}
