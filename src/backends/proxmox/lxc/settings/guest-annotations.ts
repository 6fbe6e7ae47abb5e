import { invalidArgument } from '../../../../core/model/errors.ts';
import { ANNOTATION_PREFIX, annotationField } from '../../../../core/model/own-annotations.ts';
import { STORAGE_ANNOTATION } from '../../../../core/model/storage-annotations.ts';
import { defined } from '../../../../utils/object.ts';

/** Characters of an annotation; the notes of a guest hold 8192, with those of this server. */
const LONGEST_DESCRIPTION = 4096;
const LONGEST_TAGS = 1024;

/** The settings of its guest that a pod may choose, by the keys of pct.conf(5); docs/proxmox.md has the reasons for each. */
export interface GuestChoices {
  /** CPUs of the whole guest; 0: no limit. */
  cpulimit?: number;
  /** Markdown above the notes of this server. */
  description?: string;
  pool?: string;
  /** `order=N`. */
  startup?: string;
  /** Beside those of this server. */
  tags?: string[];
}

const KEYS: readonly (keyof GuestChoices)[] = ['cpulimit', 'description', 'pool', 'startup', 'tags'];

/** Annotations with the prefix that are not about the guest. */
const OTHERS: readonly string[] = Object.values(STORAGE_ANNOTATION);

/** What a node allows. */
export interface ChoiceRules {
  /** Whether the pod's namespace may choose at all. */
  isTrusted: boolean;
  /** The pools that may be chosen; an empty name is none of them. */
  pools: readonly string[];
}

/** What annotations choose, and the names of those that have no effect: of unknown settings, or all in other namespaces. */
export interface AnnotatedGuest {
  choices: GuestChoices;
  ignored: string[];
}

/**
 * Reads the settings of a pod's guest from its annotations `proxmox-lxcri.io/KEY`, whose values are those of the Proxmox API.
 * @throws CriError INVALID_ARGUMENT naming the annotation, for a value that Proxmox or this node does not take.
 */
export function guestAnnotations(
  annotations: Readonly<Record<string, string>>,
  { isTrusted, pools }: ChoiceRules,
): AnnotatedGuest {
  const known = isTrusted ? KEYS.map((key) => ANNOTATION_PREFIX + key) : [];
  const ignored = Object.keys(annotations).filter((name) => !OTHERS.includes(name) && !known.includes(name));
  const read = <T>(key: keyof GuestChoices, parse: (value: string, field: string) => T): T | undefined => {
    const name = ANNOTATION_PREFIX + key;
    if (!isTrusted || !Object.hasOwn(annotations, name)) return undefined;
    return parse((annotations[name] ?? '').trim(), annotationField(name));
  };
  const choices = defined({
    cpulimit: read('cpulimit', cpuLimit),
    description: read('description', description),
    pool: read('pool', (value, field) => oneOf(pools, value, field)),
    startup: read('startup', shutdownOrder),
    tags: read('tags', tagList),
  });
  return { choices, ignored };
}

/** Proxmox takes 0 to 8192; the kernel no less than 1 ms of each 100 ms. */
function cpuLimit(value: string, field: string): number {
  const cpus = /^\d{1,4}(?:\.\d{1,6})?$/.test(value) ? Number(value) : NaN;
  if (cpus === 0 || (cpus >= 0.01 && cpus <= 8192)) return cpus;
  throw invalidArgument(field, `${shown(value)} must be CPUs from 0.01 to 8192, such as "1.5", or 0 for no limit`);
}

function description(value: string, field: string): string {
  const text = value.replaceAll('\r\n', '\n');
  // Proxmox's notes are lines of a file.
  const isPlain = !/[^\P{Cc}\n\t]/u.test(text);
  if (text !== '' && text.length <= LONGEST_DESCRIPTION && isPlain) return text;
  throw invalidArgument(field, `must be 1 to ${String(LONGEST_DESCRIPTION)} characters, without control characters`);
}

function oneOf(pools: readonly string[], value: string, field: string): string {
  const named = pools.filter((pool) => pool !== '');
  if (named.includes(value)) return value;
  const remedy = named.length === 0 ? 'name its pools in proxmox.pools' : `use one of ${named.join(', ')}`;
  throw invalidArgument(field, `${shown(value)} is not a pool that this node has for pods; ${remedy}`);
}

/** Without `up` and `down`: Proxmox never starts such a guest, and its processes end at once. */
function shutdownOrder(value: string, field: string): string {
  const order = /^(?:order=)?(\d{1,9})$/.exec(value)?.[1];
  if (order !== undefined) return `order=${order}`;
  const problem = 'must be "order=N", with N from 0; delays have no effect on pods';
  throw invalidArgument(field, `${shown(value)} ${problem}`);
}

function tagList(value: string, field: string): string[] {
  if (value.length > LONGEST_TAGS)
    throw invalidArgument(field, `must be at most ${String(LONGEST_TAGS)} characters; use fewer tags`);
  const tags = value.split(/[\s,;]+/).filter((tag) => tag !== '');
  const wrong = tags.find((tag) => !/^[a-z0-9_][a-z0-9_+.-]*$/i.test(tag));
  if (tags.length > 0 && wrong === undefined) return tags.map((tag) => tag.toLowerCase());
  const rule = 'letters, digits, "_", "-", "+" and ".", the first none of the last three; separate several by ";"';
  throw invalidArgument(field, `${shown(wrong ?? '')} must be a tag: ${rule}`);
}

function shown(value: string): string {
  return JSON.stringify(value.slice(0, 100));
}
