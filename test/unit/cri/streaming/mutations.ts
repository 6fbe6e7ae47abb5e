import fc from 'fast-check';
import { TOKEN, encodeFrames } from '../../../fixtures/streaming/seeds.ts';
import type { Seed, SeedFrame } from '../../../fixtures/streaming/seeds.ts';

/** Changes to a recorded session; positions are fractions of the whole, from 0 to 1. */
export interface Mutation {
  frames: { act: 'drop' | 'repeat' | 'swap' | 'edit'; at: number; other: number; edit: Edit }[];
  raw: Edit[];
}

interface Edit {
  at: number;
  remove: number;
  insert: Uint8Array;
}

const part = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const edit = fc.record({ at: part, remove: fc.nat(8), insert: fc.uint8Array({ maxLength: 8 }) });

export const mutations: fc.Arbitrary<Mutation> = fc.record({
  frames: fc.array(fc.record({ act: fc.constantFrom('drop', 'repeat', 'swap', 'edit'), at: part, other: part, edit }), {
    maxLength: 4,
  }),
  raw: fc.array(edit, { maxLength: 2 }),
});

/** The bytes of a changed session for the URL with `token`. */
export function mutate(seed: Seed, { frames: changes, raw }: Mutation, token: string): Buffer {
  const frames = [...seed.frames];
  for (const change of changes) {
    const at = Math.floor(change.at * frames.length);
    const frame = frames[at];
    if (frame === undefined) continue;
    if (change.act === 'drop') frames.splice(at, 1);
    else if (change.act === 'repeat') frames.splice(Math.floor(change.other * frames.length), 0, frame);
    else if (change.act === 'swap') swap(frames, at, Math.floor(change.other * frames.length));
    else frames[at] = { ...frame, bytes: edited(frame.bytes, change.edit) };
  }
  const head = Buffer.from(`${seed.head.replace(TOKEN, token)}\r\n\r\n`, 'latin1');
  const body = encodeFrames(seed.transport, frames);
  // Few changes affect the HTTP request, or no session would be established.
  return raw.reduce<Buffer>(
    (bytes, change, index) => edited(bytes, change, index === 0 ? 0 : head.length),
    Buffer.concat([head, body]),
  );
}

function swap(frames: SeedFrame[], a: number, b: number): void {
  const [first, second] = [frames[a], frames[b]];
  if (first === undefined || second === undefined) return;
  frames[a] = second;
  frames[b] = first;
}

function edited(bytes: Buffer, { at, remove, insert }: Edit, from = 0): Buffer {
  const place = Math.min(from + Math.floor(at * Math.max(bytes.length - from, 0)), bytes.length);
  return Buffer.concat([bytes.subarray(0, place), insert, bytes.subarray(place + remove)]);
}
