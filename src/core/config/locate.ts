import type { KeyPath } from './tables.ts';

const SIMPLE_KEY = /"(?:[^"\\]|\\.)*"|'[^']*'|[\w-]+/g;
const DOTTED_KEY = /^\s*((?:"(?:[^"\\]|\\.)*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"(?:[^"\\]|\\.)*"|'[^']*'|[\w-]+))*)\s*=/;
const HEADER = /^\s*(\[\[?)([^[\]]+)\]\]?\s*(?:#.*)?$/;

/**
 * The line (from 1) of a TOML text on which the value at `path`, or else the nearest table or key around it, is written;
 * undefined when there is none. It reads line by line, so a multi-line string can mislead it: for messages only.
 */
export function locateKey(text: string, path: KeyPath): number | undefined {
  const counts = new Map<string, number>();
  let table: KeyPath = [];
  let best: { length: number; line: number } | undefined;
  const consider = (found: KeyPath, line: number) => {
    const onTheWay = found.length <= path.length && found.every((key, index) => key === path[index]);
    if (onTheWay && found.length > (best?.length ?? 0)) best = { length: found.length, line };
  };

  for (const [index, line] of text.split('\n').entries()) {
    const header = HEADER.exec(line);
    if (header?.[2] !== undefined) {
      table = keysOf(header[2]);
      if (header[1] === '[[') {
        const name = JSON.stringify(table);
        const position = counts.get(name) ?? 0;
        counts.set(name, position + 1);
        table = [...table, position];
      }
      consider(table, index + 1);
      continue;
    }
    const key = DOTTED_KEY.exec(line)?.[1];
    if (key !== undefined) consider([...table, ...keysOf(key)], index + 1);
  }
  return best?.line;
}

function keysOf(dotted: string): string[] {
  return (dotted.match(SIMPLE_KEY) ?? []).map((key) => (/^["']/.test(key) ? key.slice(1, -1) : key));
}
