/** Members whose values belong to the recording node, its clock or its processes: only what they are is compared. */
const variable = new Set([
  ...['starttime', 'endtime', 'pid', 'pstart', 'uptime', 'snaptime', 'ctime', 'saved'],
  ...['mem', 'disk', 'diskread', 'diskwrite', 'netin', 'netout', 'cpu', 'used', 'avail', 'total', 'used_fraction'],
  ...['digest', 'ticket', 'CSRFPreventionToken', 'ssl_fingerprint', 'ip', 'path'],
]);

/** What identifies an element of a list, in the order of preference. */
const identities = [
  'upid',
  'vmid',
  'volid',
  'key',
  'name',
  'subdir',
  'cmd',
  'userid',
  'tokenid',
  'poolid',
  'storage',
  'iface',
  'realm',
  'id',
  'roleid',
];

const macs = /\b(?:[0-9A-F]{2}:){5}[0-9A-F]{2}\b/gi;
const sums = /\b[0-9a-f]{40}\b/g;
const uuids = /\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi;

/** A line of a log with what varies left out: addresses, sums, dates and numbers but those of guests. */
export function plainLine(line: string): string {
  return line
    .replace(uuids, 'UUID')
    .replace(/\b[0-9a-f]{32,64}\b/g, 'SUM')
    .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/, 'TIME')
    .replace(/\b\d+\/\d+\b/g, 'N/N')
    .replace(/(?<![\w/-])\d[\d,.]*(?=MiB|(?![\w/]))/g, 'N');
}

function isScalar(value: unknown): value is string | number {
  return typeof value === 'string' || typeof value === 'number';
}

function sameScalar(actual: string | number, recorded: string | number, key: string): boolean {
  if (String(actual) === String(recorded)) return true;
  const [a, r] = [String(actual), String(recorded)];
  const numeric = /^-?\d+(\.\d+)?(e-?\d+)?$/;
  if (numeric.test(a) && numeric.test(r) && Number(a) === Number(r)) return true;
  if (variable.has(key)) return numeric.test(a) === numeric.test(r);
  if (key === 'upid' || r.startsWith('UPID:')) return plainUpid(a) === plainUpid(r);
  if (key === 'content') return a.split(',').sort().join() === r.split(',').sort().join();
  if (key === 't' || key === 'exitstatus') return plainLine(a) === plainLine(r);
  return plainText(a) === plainText(r);
}

/** A text without what differs each time: hardware addresses, digests, and UUIDs as tokens are. */
function plainText(text: string): string {
  return text.replace(macs, 'MAC').replace(uuids, 'UUID').replace(sums, 'SUM');
}

/** A UPID without process and times. */
function plainUpid(upid: string): string {
  return upid.replace(/^(UPID:[^:]+):[0-9A-F]+:[0-9A-F]+:[0-9A-F]+:/, '$1:');
}

function identityOf(element: unknown): string | undefined {
  if (typeof element !== 'object' || element === null) return undefined;
  const found = identities.find((name) => isScalar((element as Record<string, unknown>)[name]));
  return found === undefined ? undefined : plainUpid(String((element as Record<string, unknown>)[found]));
}

function compareLists(actual: readonly unknown[], recorded: readonly unknown[], at: string): string[] {
  const names = recorded.map(identityOf);
  const unique = names.every((name) => name !== undefined) && new Set(names).size === names.length;
  if (actual.length !== recorded.length) {
    return [
      `${at}: ${actual.length} elements (${actual.map(identityOf).join(' ')}) instead of ${recorded.length} (${names.join(' ')})`,
    ];
  }
  return recorded.flatMap((element, index) => {
    // The recorded order is that of a hash, unless nothing identifies elements.
    const other = unique ? actual.find((candidate) => identityOf(candidate) === names[index]) : actual[index];
    return differences(other, element, `${at}[${names[index] ?? index}]`);
  });
}

/** Where an answer differs from the recorded one: missing and additional members, and values that are not the same. */
export function differences(actual: unknown, recorded: unknown, at = '', key = ''): string[] {
  if (Array.isArray(actual) && Array.isArray(recorded)) return compareLists(actual, recorded, at);
  if (typeof actual === 'object' && typeof recorded === 'object' && actual !== null && recorded !== null) {
    const [a, r] = [actual as Record<string, unknown>, recorded as Record<string, unknown>];
    const missing = Object.keys(r)
      .filter((name) => !(name in a))
      .map((name) => `${at}.${name} is missing`);
    const additional = Object.keys(a)
      .filter((name) => !(name in r))
      .map((name) => `${at}.${name} is additional`);
    const inside = Object.keys(r).flatMap((name) =>
      name in a ? differences(a[name], r[name], `${at}.${name}`, name) : [],
    );
    return [...missing, ...additional, ...inside];
  }
  if (isScalar(actual) && isScalar(recorded) && sameScalar(actual, recorded, key)) return [];
  if (actual === recorded) return [];
  return [`${at}: ${JSON.stringify(actual)} instead of ${JSON.stringify(recorded)}`];
}

/** Where a guest's file differs from the one that was seen. */
export function fileDifferences(actual: string, seen: string): string[] {
  const plain = (text: string): string =>
    text
      .trim()
      .replace(macs, 'MAC')
      .replace(/^snaptime: \d+$/gm, 'snaptime: N');
  return plain(actual) === plain(seen)
    ? []
    : [`${JSON.stringify(plain(actual))} instead of ${JSON.stringify(plain(seen))}`];
}
