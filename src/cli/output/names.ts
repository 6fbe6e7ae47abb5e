import { printable } from '../../core/logging/escape.ts';

/** The unique names of objects, a line each. */
export function nameLines(objects: readonly { metadata: { name: string } | undefined }[]): string {
  const names = new Set(objects.map(({ metadata }) => metadata?.name ?? ''));
  return Array.from(names, (name) => `${printable(name)}\n`).join('');
}
