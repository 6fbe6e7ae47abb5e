import type { PropertyFormat } from './types.ts';

/** A property string that Proxmox refuses; `message` is its own text, without the end of the last line. */
export class PropertyStringError extends Error {}

/** 1 and 0 for the words Proxmox takes as booleans inside a property string; anything else as it is. */
function asBoolean(value: string): string {
  if (/^(1|on|yes|true)$/i.test(value)) return '1';
  if (/^(0|off|no|false)$/i.test(value)) return '0';
  return value;
}

function valueOf(format: PropertyFormat, key: string, value: string): string {
  return format[key]?.type === 'boolean' ? asBoolean(value) : value;
}

/**
 * The parts of a property string by key, not yet checked: `/srv/x,mp=/x,ro=yes` with `volume` as default key is
 * `{ volume: '/srv/x', mp: '/x', ro: '1' }`. There is no way to write a comma inside a value.
 * @throws {PropertyStringError} a key twice, a key or a value alone
 */
export function splitPropertyString(format: PropertyFormat, text: string): Record<string, string> {
  const values = new Map<string, string>();
  const duplicate = (key: string): PropertyStringError =>
    new PropertyStringError(`duplicate key in comma-separated list property: ${key}`);
  for (const part of text.split(',')) {
    if (/^\s*$/.test(part)) continue;
    const [, key, value] = /^([^=]+)=(.+)$/s.exec(part) ?? [];
    if (key !== undefined && value !== undefined) {
      if (values.has(key)) throw duplicate(key);
      const { alias, keyAlias } = format[key] ?? {};
      if (keyAlias !== undefined && alias !== undefined) values.set(keyAlias, key);
      const target = alias ?? key;
      if (values.has(target)) throw new PropertyStringError(`key '${target}' is already defined (via alias)`);
      values.set(target, valueOf(format, target, value));
    } else if (!part.includes('=')) {
      const defaultKey = Object.keys(format).find((name) => format[name]?.default_key);
      if (defaultKey === undefined)
        throw new PropertyStringError('value without key, but schema does not define a default key');
      if (values.has(defaultKey)) throw duplicate(defaultKey);
      values.set(defaultKey, valueOf(format, defaultKey, part));
    } else {
      throw new PropertyStringError('missing key in comma-separated list property');
    }
  }
  return Object.fromEntries(values);
}
