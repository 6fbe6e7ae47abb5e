/** The first 13 characters of an id without `sha256:`. */
export function shortId(id: string, full: boolean): string {
  return full ? id : id.replace(/^sha256:/, '').slice(0, 13);
}

const SIZES = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** `12.3 MiB`. */
export function formatBytes(bytes: bigint): string {
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1024 && unit < SIZES.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? String(value) : value.toFixed(1)} ${SIZES[unit] ?? ''}`;
}

/** A time in nanoseconds since 1970 as RFC 3339 in UTC with all digits; empty for 0, which means "never". */
export function formatTime(nanoseconds: bigint): string {
  if (nanoseconds === 0n) return '';
  const seconds = new Date(Number(nanoseconds / 1_000_000n)).toISOString().slice(0, 19);
  return `${seconds}.${String(nanoseconds % 1_000_000_000n).padStart(9, '0')}Z`;
}

const SPANS: [number, string][] = [
  [86_400, 'd'],
  [3600, 'h'],
  [60, 'm'],
  [1, 's'],
];

/** How long ago a time in nanoseconds since 1970 was, in its largest unit: `5m`. Empty for 0, which means "never". */
export function formatAge(nanoseconds: bigint, now: number = Date.now()): string {
  if (nanoseconds === 0n) return '';
  const seconds = Math.max(0, Math.floor(now / 1000 - Number(nanoseconds / 1_000_000_000n)));
  const [size, letter] = SPANS.find(([span]) => seconds >= span) ?? [1, 's'];
  return `${String(Math.floor(seconds / size))}${letter}`;
}

/** `2 s`, `3 min 5 s`, `1 h 2 min`: rounded up to seconds, from an hour on to minutes. */
export function formatDuration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${String(whole)} s`;
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  if (minutes < 60) return `${String(minutes)} min ${String(rest)} s`;
  return `${String(Math.floor(minutes / 60))} h ${String(minutes % 60)} min`;
}

/** `1 entry`, `2 entries`. */
export function formatCount(count: number, what: string): string {
  return `${String(count)} ${count === 1 ? what : `${what}s`.replace(/ys$/, 'ies')}`;
}
