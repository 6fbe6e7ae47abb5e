/** Something that setup has made, as its record keeps it. */
export type Made =
  | { kind: 'directory'; path: string }
  | { kind: 'file'; path: string; sha256: string }
  | { kind: 'pool'; name: string }
  | { kind: 'role'; name: string; privileges: string[] }
  | { kind: 'user'; id: string }
  | { kind: 'acl'; path: string; type: 'user' | 'token'; id: string; role: string }
  | { kind: 'token'; user: string; name: string };

/** Records what was made, before anything else is done. */
export type RecordMade = (made: Made) => Promise<void>;

/** What a step finds: nothing to do, or what is to be done. */
export interface Look {
  /** The state found; with `make`, what it does, as an imperative phrase. */
  text: string;
  make?: (record: RecordMade) => Promise<void>;
}

/** A step of setup. `look` changes nothing; after `make` it finds nothing to do. */
export interface Step {
  name: string;
  look: () => Promise<Look>;
}

/** A step that makes something where it does not exist. @param text what `make` does, as an imperative phrase. */
export function whereAbsent(
  name: string,
  isThere: () => Promise<boolean>,
  text: string,
  make: (record: RecordMade) => Promise<void>,
): Step {
  return { name, look: async () => ((await isThere()) ? { text: 'is there' } : { text, make }) };
}

/** A line of the output. */
export interface Outcome {
  step: string;
  /** `kept`: nothing to do, or left alone because something else changed or uses it. */
  outcome: 'found' | 'kept' | 'would' | 'done' | 'removed';
  text: string;
}
