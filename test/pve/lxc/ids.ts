import type { Section } from '../config/config-text.ts';

/** How a container's ids appear on the node. */
export interface Ids {
  /** What root of the container is on the node. */
  readonly uid: number;
  readonly gid: number;
  /** The mappings, as lxc-usernsexec takes them; none of a privileged container. */
  readonly maps: readonly string[];
}

/** The ids of a container: raw mappings count before those of an unprivileged one. */
export function idsOf({ values, raw }: Section): Ids {
  const own = raw.filter(([key]) => key === 'lxc.idmap').map(([, value]) => value.trim().split(/\s+/));
  const standard = values['unprivileged'] === '1' ? ['u', 'g'].map((kind) => [kind, '0', '100000', '65536']) : [];
  const maps = own.length > 0 ? own : standard;
  const root = (kind: string): number => Number(maps.find(([of, inside]) => of === kind && inside === '0')?.[2] ?? 0);
  return { uid: root('u'), gid: root('g'), maps: maps.map((map) => map.join(':')) };
}

/** The id on the node of `id` in the container; itself without a mapping. */
export function mapped(ids: Ids, kind: 'u' | 'g', id: number): number {
  for (const map of ids.maps) {
    const [of, ...numbers] = map.split(':');
    const [inside = 0, outside = 0, count = 0] = numbers.map(Number);
    if (of === kind && id >= inside && id < inside + count) return outside + id - inside;
  }
  return id;
}
