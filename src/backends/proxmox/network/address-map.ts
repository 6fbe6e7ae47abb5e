import * as z from 'zod';
import { DurableMap, type MapKind } from '../durable-map.ts';

const entry = z.object({
  /** The pod's id. */
  owner: z.string(),
});

const KIND: MapKind<z.infer<typeof entry>> = {
  format: 1,
  member: 'addresses',
  key: z.union([z.ipv4(), z.ipv6()]),
  value: entry,
  name: 'map of addresses',
  with: 'the guests of pods that no record names',
};

/** Which IP addresses pods have, by their text, on disk: every change is durable when its call resolves. */
export type AddressMap = DurableMap<z.infer<typeof entry>>;

/** As `DurableMap.open`. @throws {CriError} FAILED_PRECONDITION for a file that is of a newer format, or none */
export function openAddressMap(path: string): Promise<AddressMap> {
  return DurableMap.open(path, KIND);
}
