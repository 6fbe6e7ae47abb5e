import * as z from 'zod';
import { formatPlace, messageOf } from '../../../utils/errors.ts';
import { ZfsError } from '../errors/zfs-error.ts';
import { Entries, type Entry } from './properties.ts';

/** The major version of the output that OpenZFS 2.3 and 2.4 print; minor ones add fields. */
const MAJOR = 0;

const source = z
  .enum(['NONE', 'DEFAULT', 'LOCAL', 'INHERITED', 'RECEIVED', 'TEMPORARY'])
  .transform((type) => type.toLowerCase() as Lowercase<typeof type>);

const object = z.object({
  name: z.string(),
  properties: z.record(z.string(), z.object({ value: z.string(), source: z.object({ type: source }) })),
});

const schema = z.object({
  output_version: z.object({ vers_major: z.literal(MAJOR) }),
  /** Of `zfs get`; absent in the output of `zpool get`, as the other is there. */
  datasets: z.record(z.string(), object).optional(),
  pools: z.record(z.string(), object).optional(),
});

/** Reads the output of `zfs get -jp` or `zpool get -jp`. @throws ZfsError badAnswer. */
export function readJson(what: string, text: string): Entry[] {
  const { datasets, pools } = parse(what, text);
  const entries = new Entries();
  for (const { name, properties } of Object.values(datasets ?? pools ?? {})) {
    for (const [property, { value, source }] of Object.entries(properties)) {
      entries.add(name, property, value, source.type);
    }
  }
  return entries.list();
}

function parse(what: string, text: string): z.output<typeof schema> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ZfsError('badAnswer', '', `${what}: its output is no JSON: ${messageOf(error).slice(0, 200)}`);
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const place = formatPlace(issue?.path ?? []);
  throw new ZfsError('badAnswer', '', `${what}: unexpected output at ${place}: ${issue?.message.slice(0, 200) ?? ''}`);
}
