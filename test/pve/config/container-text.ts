import { emptySection as emptyGuestSection, type GuestSection } from '../guest-config/model.ts';
import { parseGuestConfig } from '../guest-config/parse.ts';
import { writeGuestConfig } from '../guest-config/write.ts';
import type { Release } from '../api/params/property.ts';
import type { GuestConfig, Section } from './config-text.ts';

function read({ options, description, lxc, delete: removals }: GuestSection): Section {
  const values = Object.fromEntries(Object.entries(options).map(([key, value]) => [key, String(value)]));
  return {
    values: { ...values, ...(removals === undefined ? {} : { delete: removals }) },
    raw: lxc,
    ...(description === undefined ? {} : { description }),
  };
}

function written({ values, raw, description }: Section): GuestSection {
  const { delete: removals, ...options } = values;
  return {
    ...emptyGuestSection(),
    options,
    lxc: raw,
    ...(description === undefined ? {} : { description }),
    ...(removals === undefined ? {} : { delete: removals }),
  };
}

const major = (release: Release): 8 | 9 => (release === '8.4' ? 8 : 9);

/** Reads a container's configuration file as the release does. */
export function parseContainer(text: string, release: Release): GuestConfig {
  // The number stands in warnings alone, which go to the node's journal.
  const { config } = parseGuestConfig(text, 0, major(release));
  return {
    current: read(config),
    pending: read(config.pending),
    snapshots: new Map(Object.entries(config.snapshots).map(([name, section]) => [name, read(section)])),
    digest: config.digest,
  };
}

/** Writes a container's configuration file as the release does. */
export function printContainer(config: Omit<GuestConfig, 'digest'>, release: Release): string {
  const snapshots = Object.fromEntries([...config.snapshots].map(([name, section]) => [name, written(section)]));
  const whole = { ...written(config.current), digest: '', pending: written(config.pending), snapshots };
  return writeGuestConfig(whole, major(release));
}
