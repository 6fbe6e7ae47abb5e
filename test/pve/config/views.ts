import { elements } from '../api/params/formats.ts';
import { fault } from '../http/api-error.ts';
import type { GuestConfig, Section } from '../config/config-text.ts';
import { answered } from '../config/guest.ts';
import type { Kind } from '../config/kind.ts';
import { without } from '../state/without.ts';

/** One key of the list of pending changes. */
interface PendingEntry {
  key: string;
  value?: string | number;
  pending?: string | number;
  delete?: number;
}

function sectionView(kind: Kind, { description, values, raw }: Section): Record<string, unknown> {
  return {
    ...Object.fromEntries(
      Object.entries(values)
        .filter(([key]) => key !== 'delete')
        .map(([key, value]) => [key, answered(kind, key, value)]),
    ),
    ...(description === undefined ? {} : { description: withNewline(description) }),
    ...(raw.length === 0 ? {} : { lxc: raw }),
  };
}

function withNewline(description: string): string {
  return description.endsWith('\n') ? description : `${description}\n`;
}

/** What GET config answers: pending changes merged in, unless `current` is asked for. */
export function configView(kind: Kind, config: GuestConfig, current: boolean): Record<string, unknown> {
  const view = sectionView(kind, config.current);
  if (!current) {
    for (const key of elements(config.pending.values['delete'])) Reflect.deleteProperty(view, key);
    Object.assign(view, sectionView(kind, config.pending));
  }
  return { ...view, digest: config.digest };
}

/**
 * The configuration that a snapshot has.
 * @throws ApiError when there is no such snapshot.
 */
export function snapshotView(kind: Kind, config: GuestConfig, name: string): Record<string, unknown> {
  const section = config.snapshots.get(name);
  if (section === undefined) throw fault(`snapshot '${name}' does not exist`);
  return sectionView(kind, section);
}

/** What GET pending answers: every key with its value, the one that waits, and whether it will be deleted. */
export function pendingView(kind: Kind, config: GuestConfig): PendingEntry[] {
  const entries = new Map<string, PendingEntry>();
  const entry = (key: string): PendingEntry => {
    const found = entries.get(key) ?? { key };
    entries.set(key, found);
    return found;
  };
  for (const [key, value] of Object.entries(without(configView(kind, config, true), 'lxc')))
    entry(key).value = value as string | number;
  for (const [key, value] of Object.entries(without(sectionView(kind, config.pending), 'lxc')))
    entry(key).pending = value as string | number;
  for (const key of elements(config.pending.values['delete'])) entry(key).delete = 1;
  return [...entries.values()];
}
