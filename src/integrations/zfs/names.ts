import { invalidArgument } from '../../core/model/errors.ts';

// The rules of zfs_namecheck.c. Checked before a program runs: nothing else reaches its arguments, and a name that begins with
// a letter is never an option.

/** Bytes of a whole name, its NUL not counted (ZFS_MAX_DATASET_NAME_LEN). */
const MAX_NAME = 255;
/** Components of a dataset's name (zfs_max_dataset_nesting). */
const MAX_NESTING = 50;
/** Bytes of the value of a user property (ZAP_MAXVALUELEN), its NUL not counted. */
const MAX_VALUE = 8191;

const COMPONENT = /^[A-Za-z0-9_.: -]+$/;
const POOL = /^[A-Za-z][A-Za-z0-9_.: -]*$/;
const RESERVED = ['mirror', 'raidz', 'draid', 'spare', 'log'];
/** A native property, one of a user, which has a colon, or one for an id, such as `userused@0` (zfsprops(7)). */
const PROPERTY = /^[a-z0-9][a-z0-9_:.-]{0,254}(@\d{1,10})?$/;

const CONTROL = /[\x00-\x1f\x7f]/;

/** The name of a filesystem or volume. @throws CriError INVALID_ARGUMENT saying what is wrong. */
export function checkDataset(name: string): string {
  const components = name.split('/');
  const problem =
    lengthProblem(name) ??
    poolProblem(components[0] ?? '') ??
    components.map(componentProblem).find((each) => each !== undefined) ??
    (components.length > MAX_NESTING ? `has more than ${MAX_NESTING} components` : undefined);
  if (problem !== undefined) throw refused('dataset', name, problem);
  return name;
}

/** The full name of a snapshot, `dataset@name`. @throws CriError INVALID_ARGUMENT saying what is wrong. */
export function checkSnapshot(name: string): string {
  const at = name.indexOf('@');
  if (at < 0) throw refused('snapshot', name, 'has no "@"');
  checkDataset(name.slice(0, at));
  const problem = lengthProblem(name) ?? componentProblem(name.slice(at + 1));
  if (problem !== undefined) throw refused('snapshot', name, problem);
  return name;
}

/** The name of a dataset or snapshot. @throws CriError INVALID_ARGUMENT saying what is wrong. */
export function checkObject(name: string): string {
  return name.includes('@') ? checkSnapshot(name) : checkDataset(name);
}

/** The name of a pool. @throws CriError INVALID_ARGUMENT saying what is wrong. */
export function checkPool(name: string): string {
  const problem = lengthProblem(name) ?? poolProblem(name);
  if (problem !== undefined) throw refused('pool', name, problem);
  return name;
}

/** The name of a property. @throws CriError INVALID_ARGUMENT saying what is wrong. */
export function checkProperty(name: string): string {
  if (!PROPERTY.test(name)) throw refused('property', name, 'is no name of a property');
  return name;
}

/**
 * `name=value` of a property to set. A value with a line break could not be told from further lines of a listing.
 * @throws CriError INVALID_ARGUMENT saying what is wrong.
 */
export function assignment(name: string, value: string): string {
  checkProperty(name);
  if (CONTROL.test(value)) throw refused('property', name, 'its value contains a control character');
  if (Buffer.byteLength(value) > MAX_VALUE) throw refused('property', name, `its value exceeds ${MAX_VALUE} bytes`);
  return `${name}=${value}`;
}

/** The pool of a dataset or snapshot. */
export function poolOf(name: string): string {
  return /^[^/@]*/.exec(name)?.[0] ?? '';
}

/** The dataset of a snapshot; a dataset itself. */
export function datasetOf(name: string): string {
  return /^[^@]*/.exec(name)?.[0] ?? '';
}

/** The dataset and those above it, the pool's first. */
export function pathTo(dataset: string): string[] {
  const components = dataset.split('/');
  return components.map((_, index) => components.slice(0, index + 1).join('/'));
}

function lengthProblem(name: string): string | undefined {
  if (name === '') return 'is empty';
  return Buffer.byteLength(name) > MAX_NAME ? `exceeds ${MAX_NAME} bytes` : undefined;
}

function poolProblem(pool: string): string | undefined {
  if (!/^[A-Za-z]/.test(pool)) return 'does not begin with a letter';
  if (!POOL.test(pool)) return 'has a character that is none of A-Z a-z 0-9 _ . : - and space';
  return RESERVED.includes(pool) ? 'is reserved' : undefined;
}

function componentProblem(component: string): string | undefined {
  if (component === '') return 'has an empty component';
  if (component === '.' || component === '..') return `has the component "${component}"`;
  return COMPONENT.test(component) ? undefined : 'has a character that is none of A-Z a-z 0-9 _ . : - and space';
}

function refused(kind: string, name: string, problem: string): Error {
  return invalidArgument(`ZFS ${kind} ${JSON.stringify(name.slice(0, 300))}`, problem);
}
