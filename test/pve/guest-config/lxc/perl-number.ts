/**
 * A value as Perl computes with it: the number a text begins with, else 0. `warn` gets Perl's sentence, without the place
 * in the program, when the text is not all number.
 */
export function perlNumber(value: string | number, operation: string, warn: (text: string) => void): number {
  if (typeof value === 'number') return value;
  const [, digits = ''] = /^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)/.exec(value) ?? [];
  if (digits === '' || digits !== value.trim()) warn(`Argument "${value}" isn't numeric in ${operation}`);
  return Number(digits);
}

/** What Perl takes as true: anything but nothing, the empty text and 0. */
export function perlTrue(value: string | number | undefined): value is string | number {
  return value !== undefined && value !== '' && value !== 0 && value !== '0';
}
