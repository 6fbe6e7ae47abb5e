import { quoted } from '../../core/logging/escape.ts';
import { CriError, StatusCode } from '../../core/model/errors.ts';

/**
 * What is wrong with a BFC file, or with what was asked of it. `truncated`: it begins as one, and its end is missing, as while
 * it is copied. `key`: there is none, or it is the wrong one, or the content was changed: encryption tells these two not apart.
 */
export type BfcProblem =
  | 'not-bfc'
  | 'truncated'
  | 'malformed'
  | 'damaged'
  | 'key'
  | 'limit'
  | 'name'
  | 'not-found'
  | 'exists'
  | 'space'
  | 'unsupported';

const CODES: Record<BfcProblem, StatusCode> = {
  'not-bfc': StatusCode.INVALID_ARGUMENT,
  truncated: StatusCode.DATA_LOSS,
  malformed: StatusCode.INVALID_ARGUMENT,
  damaged: StatusCode.DATA_LOSS,
  key: StatusCode.PERMISSION_DENIED,
  limit: StatusCode.INVALID_ARGUMENT,
  name: StatusCode.INVALID_ARGUMENT,
  'not-found': StatusCode.NOT_FOUND,
  exists: StatusCode.ALREADY_EXISTS,
  space: StatusCode.RESOURCE_EXHAUSTED,
  unsupported: StatusCode.UNIMPLEMENTED,
};

/** Where in a BFC file something is. */
export interface BfcPlace {
  /** Path of the file. */
  file: string;
  /** Path of an entry, its bytes as a Latin-1 string. */
  entry?: string;
  /** Byte offset in the file. */
  offset?: number;
}

/** An error of a BFC file; the message names the file, the entry or the offset, and what is wrong there. */
export class BfcError extends CriError {
  readonly problem: BfcProblem;
  readonly place: BfcPlace;

  constructor(problem: BfcProblem, place: BfcPlace, what: string, options?: ErrorOptions) {
    const entry = place.entry === undefined ? '' : ` entry ${showPath(place.entry)}:`;
    const offset = place.offset === undefined ? '' : ` at offset ${place.offset}:`;
    super(CODES[problem], `${quoted(place.file)}:${entry}${offset} ${what}`, options);
    this.name = 'BfcError';
    this.problem = problem;
    this.place = place;
  }
}

/** A path of an entry for a message: as UTF-8, quoted, cut after 300 bytes. */
export function showPath(path: string): string {
  return quoted(Buffer.from(path.slice(0, 300), 'latin1').toString('utf8'));
}
