import { createHash } from 'node:crypto';

/** A request as curl was told to make it. */
export interface CurlRequest {
  /** What stands in brackets before the method; empty for the ticket of root@pam. */
  readonly credentials: string;
  readonly verb: string;
  readonly path: string;
  readonly body: Buffer | undefined;
  readonly type: string | undefined;
}

/** Bytes of every archive that a transcript uploads. */
export const archive = Buffer.alloc(1_031_521);

/** The words of a line that a shell printed for itself, `$'…'` and backslashes included. */
function shellWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  const escapes: Record<string, string> = { n: '\n', t: '\t', '\\': '\\', "'": "'" };
  for (let at = 0; at < line.length; at += 1) {
    const character = line[at]!;
    if (character === ' ') {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (line.startsWith("$'", at)) {
      word ??= '';
      for (at += 2; line[at] !== "'"; at += 1) {
        if (line[at] === '\\') at += 1;
        word += line[at - 1] === '\\' ? (escapes[line[at]!] ?? line[at]!) : line[at]!;
      }
    } else {
      if (character === '\\') at += 1;
      word = (word ?? '') + line[at]!;
    }
  }
  return word === undefined ? words : [...words, word];
}

/** The words of a line that was noted without quotes: options begin new ones. */
function plainWords(line: string): string[] {
  return line.split(/ (?=-d |--data-urlencode |-H |--data-binary |-F )/).flatMap((part) => {
    const [, option, value] = /^(-\S+) ([^]*)$/.exec(part) ?? [];
    return option === undefined ? part.split(' ') : [option, value!];
  });
}

function encoded(field: string): string {
  const equals = field.indexOf('=');
  return `${field.slice(0, equals + 1)}${encodeURIComponent(field.slice(equals + 1))}`;
}

function multipart(fields: readonly string[]): { body: Buffer; type: string } {
  const boundary = 'recorded-by-curl';
  const parts = fields.map((field) => {
    const [, name = '', value = ''] = /^([^=]+)=([^]*)$/.exec(field) ?? [];
    const filename = /^@[^;]*;filename=([^]*)$/.exec(value)?.[1];
    const disposition = `Content-Disposition: form-data; name="${name}"`;
    const head = filename === undefined ? disposition : `${disposition}; filename="${filename}"`;
    // The recorded sum is that of an archive which is not there.
    const sum = /^[0-9a-f]{64}$/.test(value) ? createHash('sha256').update(archive).digest('hex') : value;
    return [
      Buffer.from(`--${boundary}\r\n${head}\r\n\r\n`),
      filename === undefined ? Buffer.from(sum) : archive,
      Buffer.from('\r\n'),
    ];
  });
  return {
    body: Buffer.concat([...parts.flat(), Buffer.from(`--${boundary}--\r\n`)]),
    type: `multipart/form-data; boundary=${boundary}`,
  };
}

/** The request of a transcript's line; `quoted` says whether a shell's quoting is in it. */
export function parseCurl(line: string, quoted: boolean): CurlRequest {
  const [, credentials = '', rest = ''] = /^(?:\[([^\]]*)\] )?([^]*)$/.exec(line) ?? [];
  const [verb = '', path = '', ...options] = (quoted ? shellWords : plainWords)(rest);
  const form: string[] = [];
  const files: string[] = [];
  let body: Buffer | undefined;
  let type: string | undefined;
  for (let at = 0; at < options.length; at += 2) {
    const [option, value = ''] = options.slice(at, at + 2);
    if (option === '-d') form.push(value);
    else if (option === '--data-urlencode') form.push(encoded(value));
    else if (option === '-F') files.push(value);
    else if (option === '--data-binary') body = Buffer.from(value);
    else if (option === '-H') type = value.replace(/^Content-Type: /, '');
    else throw new Error(`unknown option ${String(option)} in ${line}`);
  }
  if (files.length > 0) return { credentials, verb, path, ...multipart(files) };
  if (form.length > 0) body = Buffer.from(form.join('&'));
  if (form.length > 0) type = 'application/x-www-form-urlencoded';
  return { credentials, verb, path, body, type };
}
