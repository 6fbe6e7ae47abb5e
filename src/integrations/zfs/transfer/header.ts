import * as z from 'zod';
import type { TransferredImage } from '../../../core/model/rootfs-transfer.ts';
import { MAX_ENTRIES, MAX_IMAGE_BYTES, MAX_LAYERS } from '../../../host/layers/bounds.ts';
import { formatPlace } from '../../../utils/errors.ts';
import { hasMoreValuesThan } from '../../../utils/json.ts';
import { damaged } from './frames.ts';

/** Names of an image, and values of the whole header: seven for each layer. */
const MAX_NAMES = 1000;
const MAX_VALUES = 10_000;

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
/** A number of 64 bits; JSON's own lose digits. */
const count = (most: bigint) =>
  z
    .string()
    .regex(/^\d{1,20}$/)
    .transform(BigInt)
    .refine((value) => value <= most, 'is too large');
const guid = count(2n ** 64n - 1n);
const document = z.base64().transform((text) => Buffer.from(text, 'base64'));

const headerSchema = z.object({
  config: document,
  manifest: document,
  names: z.array(z.string().max(1000)).max(MAX_NAMES),
  layers: z
    .array(
      z.object({
        chainId: digest,
        diffId: digest,
        /** Of the snapshot: what the stream after it begins from. */
        guid,
        bytes: count(BigInt(MAX_IMAGE_BYTES)),
        inodes: count(BigInt(MAX_ENTRIES)),
      }),
    )
    .max(MAX_LAYERS),
  rootfs: z.object({ guid }).optional(),
});

/** What is sent before the streams: that of each layer, the lowest first, then that of the root filesystem. */
export type TransferHeader = z.output<typeof headerSchema>;

/** The JSON document of a header. */
export function formatHeader({
  config,
  manifest,
  names,
  layers,
  rootfs,
}: Omit<TransferHeader, keyof TransferredImage> & TransferredImage): Buffer {
  return Buffer.from(
    JSON.stringify(
      { config: config.toString('base64'), manifest: manifest.toString('base64'), names, layers, rootfs },
      (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value),
    ),
  );
}

/** Reads a header, which may be anything. @throws CriError DATA_LOSS naming the field. */
export function parseHeader(data: Buffer): TransferHeader {
  let value: unknown;
  try {
    value = JSON.parse(data.toString('utf8'));
  } catch (error) {
    throw damaged('its header is no JSON document', error);
  }
  if (hasMoreValuesThan(value, MAX_VALUES)) throw damaged('its header has too many values');
  const parsed = headerSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw damaged(`its header: ${formatPlace(issue?.path ?? [])}: ${issue?.message ?? 'malformed'}`);
}
