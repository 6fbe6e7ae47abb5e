/** Maximum bytes of a kernel parameter in one write. */
const VALUE_BYTES = 4095;
const NAME_LENGTH = 253;

/**
 * A kernel parameter's name in the form of sysctl(8), with dots between its parts. When the first separator is a slash, dots
 * are part of a name, as in `net/ipv4/conf/eth0.100/rp_filter`; otherwise slashes represent them, as in
 * `net.ipv4.conf.eth0/100.rp_filter`, which is the result for both. Undefined for an invalid name.
 */
export function sysctlName(text: string): string | undefined {
  const name = text[text.search(/[./]/)] === '/' ? swap(text) : text;
  const parts = name.split('.');
  const isPart = (part: string) => /^\w(?:[\w/-]*\w)?$/.test(part) && !part.includes('//');
  return parts.length >= 2 && parts.every(isPart) && name.length <= NAME_LENGTH ? name : undefined;
}

/** The path below /proc/sys of a parameter with a name of {@link sysctlName}. */
export function sysctlPath(name: string): string {
  return swap(name);
}

/** Whether a value is valid for a parameter: one write of printable ASCII characters and tabs. */
export function isSysctlValue(value: string): boolean {
  return value !== '' && value.length <= VALUE_BYTES && /^[\t\x20-\x7e]*$/.test(value);
}

function swap(name: string): string {
  return name.replaceAll(/[./]/g, (separator) => (separator === '.' ? '/' : '.'));
}
