const units = ['', 'K', 'M', 'G', 'T'];

/** Bytes of a size like `4G`; a number alone is bytes. */
export function parseSize(text: string): number {
  const [, amount = '0', unit = ''] = /^(\d+(?:\.\d+)?)([KMGT]?)$/.exec(text) ?? [];
  return Math.floor(Number(amount) * 1024 ** units.indexOf(unit));
}

/** A size in the largest unit that leaves no fraction; nothing is `0T`. */
export function printSize(bytes: number): string {
  let size = bytes;
  let unit = 0;
  while (unit < units.length - 1 && size % 1024 === 0) {
    size /= 1024;
    unit += 1;
  }
  return `${size}${units[unit]!}`;
}
