import { isAbsolute, resolve } from 'node:path';
import { UsageError } from './command.ts';

/** An integer from `min` to `max`. @throws UsageError naming the option. */
export function wholeNumber(option: string, text: string, min = 0, max = Number.MAX_SAFE_INTEGER): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  const range =
    max === Number.MAX_SAFE_INTEGER ? `of at least ${String(min)}` : `from ${String(min)} to ${String(max)}`;
  throw new UsageError(`--${option}: must be an integer ${range}, not ${JSON.stringify(text)}`);
}

const UNITS: Record<string, number> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** Bytes from `512M`, `1.5GiB`, `1g` or a plain number; units are powers of 1024. @throws UsageError */
export function byteCount(option: string, text: string): bigint {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(number) * (UNITS[unit.toLowerCase()] ?? NaN));
  if (number === '' || !Number.isSafeInteger(bytes) || bytes <= 0) {
    throw new UsageError(`--${option}: must be a size such as 512M or 2G, not ${JSON.stringify(text)}`);
  }
  return BigInt(bytes);
}

/** `KEY=VALUE`. @throws UsageError */
export function keyValue(option: string, text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw new UsageError(`--${option}: must be KEY=VALUE, not ${JSON.stringify(text)}`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** A bind mount `SOURCE:DESTINATION[:ro|:rw]`; a relative source is relative to the working directory. */
export interface MountValue {
  source: string;
  destination: string;
  readonly: boolean;
}

/** @throws UsageError for another form. */
export function mountValue(option: string, text: string): MountValue {
  const [source = '', destination = '', mode = 'rw', ...more] = text.split(':');
  if (source === '' || !isAbsolute(destination) || more.length > 0 || (mode !== 'ro' && mode !== 'rw')) {
    throw new UsageError(`--${option}: must be SOURCE:/DESTINATION[:ro], not ${JSON.stringify(text)}`);
  }
  return { source: resolve(source), destination, readonly: mode === 'ro' };
}

/** A number of CPUs, at least 0.01. @throws UsageError */
export function cpuCount(option: string, text: string): number {
  const value = Number(text);
  if (!/^\d*\.?\d+$/.test(text) || value < 0.01 || value > 10_000) {
    throw new UsageError(`--${option}: must be a number of CPUs such as 0.5 or 2, not ${JSON.stringify(text)}`);
  }
  return value;
}
