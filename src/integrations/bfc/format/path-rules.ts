const SLASH = 0x2f;
const DOT = 0x2e;

/** The most that an object's header can say. */
export const MAX_PATH_BYTES = 65_535;
/** Of a symlink's target (PATH_MAX without its end). */
export const MAX_TARGET_BYTES = 4095;

/**
 * Why bytes are no path of an entry: it is relative, of components that are neither empty nor `.` nor `..`, and has no NUL.
 * undefined when they are one.
 */
export function pathProblem(bytes: Buffer, start = 0, end = bytes.length): string | undefined {
  if (start === end) return 'the path is empty';
  if (end - start > MAX_PATH_BYTES) return `the path is longer than ${MAX_PATH_BYTES} bytes`;
  let component = start;
  for (let at = start; at <= end; at++) {
    const byte = at === end ? SLASH : bytes[at];
    if (byte === 0) return 'the path contains a NUL byte';
    if (byte !== SLASH) continue;
    const length = at - component;
    if (length === 0) return 'the path has an empty component, or a slash at an end';
    const isDots = bytes[component] === DOT && (length === 1 || (length === 2 && bytes[component + 1] === DOT));
    if (isDots) return `the path has the component "${'.'.repeat(length)}"`;
    component = at + 1;
  }
  return undefined;
}

/** The directories that a path is in, uppermost first. */
export function* parentsOf(path: string): Generator<string> {
  for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) yield path.slice(0, at);
}
