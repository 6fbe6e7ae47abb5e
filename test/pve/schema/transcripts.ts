import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Exchange } from './exchanges.ts';

/** What a shell's `$'…'` says. */
function ansiC(text: string): string {
  const escapes: Record<string, string> = { n: '\n', t: '\t', r: '\r' };
  return text.replaceAll(/\\(.)/gs, (_, character: string) => escapes[character] ?? character);
}

function unquoted(word: string): string {
  const [, quoted] = /^\$'(.*)'$/s.exec(word) ?? [];
  return quoted === undefined ? word.replaceAll(/\\([^\w])/g, '$1') : ansiC(quoted);
}

/** A form as the server splits it: at `&` and `;`, and a value ends at a second raw `=`. */
function formParts(text: string): [string, string][] {
  const decode = (part: string): string => {
    try {
      return decodeURIComponent(part.replaceAll('+', ' '));
    } catch {
      return part;
    }
  };
  return text.split(/[&;]/).map((part) => {
    const [key = '', value = ''] = part.split('=');
    return [decode(key), decode(value)];
  });
}

/** The parameters that an HTTP client's arguments send; undefined where they were not written down. */
function parametersOf(options: string): Record<string, unknown> | undefined {
  if (options.includes('...')) return undefined;
  const parameters: [string, unknown][] = [];
  for (const part of options.split(/(?:^|\s)(?=(?:-d|-F|-H|--data-urlencode|--data-binary)\s)/)) {
    const [, flag, word = ''] = /^(\S+)\s+(.*)$/s.exec(part.trim()) ?? [];
    if (flag === '--data-binary') {
      parameters.push(...Object.entries(JSON.parse(word) as Record<string, unknown>));
    } else if (flag === '-d') {
      parameters.push(...formParts(unquoted(word)));
    } else if (flag === '--data-urlencode' || flag === '-F') {
      const [, key = '', value = ''] = /^([^=]*)=(.*)$/s.exec(unquoted(word)) ?? [];
      // A file is sent under the name that the client is told to give it.
      parameters.push([key, flag === '-F' ? value.replace(/^@.*?;filename=/, '') : value]);
    }
  }
  return Object.fromEntries(parameters);
}

/** The recorded exchanges of a directory; remarks, and files of the recording node, are left out. */
export function readTranscripts(directory: string): Exchange[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.txt'))
    .flatMap((name) => {
      const blocks = readFileSync(join(directory, name), 'utf8').split(/^### /m).slice(1);
      return blocks.flatMap((block, index) => {
        const exchange = readBlock(block, `${name}:${index + 1}`);
        return exchange === undefined ? [] : [exchange];
      });
    });
}

function readBlock(block: string, source: string): Exchange | undefined {
  const [, request = '', statusText, rest = ''] = /^(.*?)\nHTTP\/1\.1 (\d{3})[^\n]*\n?(.*)$/s.exec(block) ?? [];
  const [, method, path, options = ''] = /^(?:\[[^\]]*\] )?([A-Z]+) (\S+)(.*)$/s.exec(request) ?? [];
  if (statusText === undefined || method === undefined || path === undefined || method === 'FILE') return undefined;
  const parameters = parametersOf(options);
  const body = rest.split('\n').find((line) => line.startsWith('{'));
  const answer = body === undefined ? {} : (JSON.parse(body) as Pick<Exchange, 'data' | 'errors'>);
  return {
    source,
    method,
    path,
    status: Number(statusText),
    ...(parameters !== undefined && { parameters }),
    ...('data' in answer && { data: answer.data }),
    ...(answer.errors !== undefined && { errors: answer.errors }),
  };
}
