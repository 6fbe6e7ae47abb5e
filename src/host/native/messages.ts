import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';

/** A one-letter tag and its value. */
export type Field = readonly [tag: string, value: string | Buffer];

export interface StepMessage {
  operation: number;
  /** Milliseconds; 0: none. */
  limitMs: number;
  fields: readonly Field[];
}

/** The result of one step. */
export interface StepResult {
  /** `skipped`: a step before it failed. `timeout` and `cancelled`: it was killed. */
  status: 'done' | 'failed' | 'skipped' | 'cancelled' | 'timeout';
  /** Name of the system's error, such as `ENOENT`, when it failed by one. */
  code: string | undefined;
  /** The operation and the reason of its failure; empty for a success. */
  problem: string;
  /** How a program has ended, once it has. */
  exit: { code: number | undefined; signal: NodeJS.Signals | undefined } | undefined;
  /** Captured bytes by descriptor, and how many more were dropped; a result of other steps is under 1. */
  outputs: ReadonlyMap<number, { bytes: Buffer; dropped: number }>;
}

/** A program was started. `pipes`: the helper's own descriptors of its pipes, by the program's. */
export interface Started {
  kind: 'started';
  id: number;
  step: number;
  pid: number;
  pipes: ReadonlyMap<number, number>;
}

export type Answer = Started | { kind: 'done'; id: number; results: StepResult[] };

/** The maximum length of a message to the helper, in bytes. */
export const MESSAGE_LIMIT = 16 * 2 ** 20;

const statuses = ['done', 'failed', 'skipped', 'cancelled', 'timeout'] as const;
const signalNames = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name as NodeJS.Signals]),
);

/** A batch of steps, in order until one fails, or all in parallel. */
export function encodeRun(id: number, sideBySide: boolean, steps: readonly StepMessage[]): Buffer {
  const parts: Buffer[] = [numbers([sideBySide ? 1 : 0, 1], [steps.length, 2])];
  for (const { operation, limitMs, fields } of steps) {
    parts.push(numbers([operation, 1], [Math.min(limitMs, 0xffffffff), 4], [fields.length, 4]));
    for (const [tag, value] of fields) {
      const bytes = typeof value === 'string' ? Buffer.from(value) : value;
      parts.push(numbers([tag.charCodeAt(0), 1], [bytes.length, 4]), bytes);
    }
  }
  return message(id, 1, parts);
}

/** Kills the running steps of a request, and starts no more of them. */
export function encodeCancel(id: number): Buffer {
  return message(id, 2, []);
}

/** The pipes of a started program have been opened, or are not wanted. */
export function encodeRelease(id: number, step: number): Buffer {
  return message(id, 4, [numbers([step, 2])]);
}

/** See `NativeHelper.hold`. */
export function encodeHold(id: number, path: string): Buffer {
  const bytes = Buffer.from(path);
  return message(id, 3, [numbers([0, 1], [bytes.length, 4]), bytes]);
}

/** Splits a byte stream into answers. @throws RangeError for an invalid message. */
export class AnswerReader {
  #held: Buffer[] = [];
  #length = 0;

  /** The answers that these bytes complete. */
  push(bytes: Buffer): Answer[] {
    this.#held.push(bytes);
    this.#length += bytes.length;
    const answers: Answer[] = [];
    for (;;) {
      if (this.#length < 4) return answers;
      // Large answers arrive in many pieces: they are concatenated once.
      if ((this.#held[0]?.length ?? 0) < 4) this.#held = [Buffer.concat(this.#held)];
      const needed = 4 + (this.#held[0]?.readUInt32LE(0) ?? 0);
      if (this.#length < needed) return answers;
      const all = this.#held.length === 1 ? (this.#held[0] ?? bytes) : Buffer.concat(this.#held);
      answers.push(parseAnswer(all.subarray(4, needed)));
      this.#held = [all.subarray(needed)];
      this.#length -= needed;
    }
  }
}

function parseAnswer(body: Buffer): Answer {
  let at = 0;
  const number = (bytes: 1 | 2 | 4) => {
    at += bytes;
    return body.readUIntLE(at - bytes, bytes);
  };
  const bytes = () => {
    const length = number(4);
    if (at + length > body.length) throw new RangeError('a message ends before its content');
    at += length;
    return Buffer.from(body.subarray(at - length, at));
  };
  const id = number(4);
  if (number(1) === 1) {
    const [step, pid, count] = [number(2), number(4), number(1)];
    const pipes = new Map(Array.from({ length: count }, () => [number(1), number(4)] as const));
    return { kind: 'started', id, step, pid, pipes };
  }
  const results = Array.from({ length: number(2) }, (): StepResult => {
    const status = statuses[number(1)] ?? 'failed';
    const errno = number(4);
    const problem = bytes().toString('utf8');
    const how = number(1);
    const value = number(4);
    const outputs = new Map<number, { bytes: Buffer; dropped: number }>();
    for (let left = number(2); left > 0; left--) {
      const descriptor = number(1);
      const dropped = number(4) + number(4) * 2 ** 32;
      outputs.set(descriptor, { bytes: bytes(), dropped });
    }
    const exit =
      how === 0
        ? undefined
        : { code: how === 1 ? value : undefined, signal: how === 2 ? signalNames.get(value) : undefined };
    return { status, code: errno === 0 ? undefined : getSystemErrorName(-errno), problem, exit, outputs };
  });
  return { kind: 'done', id, results };
}

function message(id: number, kind: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat([numbers([id, 4], [kind, 1]), ...parts]);
  return Buffer.concat([numbers([body.length, 4]), body]);
}

function numbers(...values: [value: number, bytes: 1 | 2 | 4][]): Buffer {
  const buffer = Buffer.alloc(values.reduce((sum, [, bytes]) => sum + bytes, 0));
  let at = 0;
  for (const [value, bytes] of values) at = buffer.writeUIntLE(value, at, bytes);
  return buffer;
}
