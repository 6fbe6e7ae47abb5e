/** What a fault does. Faults of one kind apply where their `match` does, `times` times (1 unless said otherwise). */
export type Effect =
  /** Answers `status` with `reason` before or after the request took effect; 595 and 596 are those of a proxied call. */
  | { readonly kind: 'status'; readonly when: 'before' | 'after'; readonly status: number; readonly reason: string }
  /** Drops the connection without an answer. */
  | { readonly kind: 'drop'; readonly when: 'before' | 'after' }
  /** Holds the answer back for so long. */
  | { readonly kind: 'slow-answer'; readonly milliseconds: number }
  /** The task ends with this message, before or after its work. */
  | { readonly kind: 'task-fail'; readonly when: 'before' | 'after'; readonly message: string }
  /** The task works so much later. */
  | { readonly kind: 'task-delay'; readonly milliseconds: number }
  /** The task waits until `release` is called. */
  | { readonly kind: 'task-hold' }
  /** The guest's lock is not to be had. */
  | { readonly kind: 'lock-timeout' }
  /** Nothing below /etc/pve can be written. */
  | { readonly kind: 'no-quorum' }
  /** Allocating, copying and unpacking fail. */
  | { readonly kind: 'full-storage' }
  /** A ticket counts as expired. */
  | { readonly kind: 'expired-ticket' };

/** Where a fault applies; what is left out matches everything. */
export interface Match {
  readonly method?: string;
  /** A regular expression on the path below /api2/json. */
  readonly path?: string;
  /** Task type. */
  readonly type?: string;
  readonly vmid?: number;
  readonly storage?: string;
}

/** A fault as it is asked for. */
export interface Fault {
  readonly effect: Effect;
  readonly match?: Match;
  /** How often it applies; 0 until it is removed. */
  readonly times?: number;
}

type Facts = { readonly [K in keyof Match]?: Match[K] | undefined };

interface Armed extends Fault {
  left: number;
}

function applies(match: Match, facts: Facts): boolean {
  return (Object.keys(match) as (keyof Match)[]).every((key) => {
    const wanted = match[key];
    if (wanted === undefined) return true;
    if (key === 'path') return facts.path !== undefined && new RegExp(String(wanted)).test(facts.path);
    return facts[key] === wanted;
  });
}

/** The faults that are armed. */
export class Faults {
  readonly #armed = new Map<number, Armed>();
  readonly #held = new Set<() => void>();
  #next = 1;

  /** Arms a fault; the number removes it. */
  add(fault: Fault): number {
    const id = this.#next++;
    this.#armed.set(id, { ...fault, left: fault.times ?? 1 });
    return id;
  }

  remove(id: number): void {
    this.#armed.delete(id);
  }

  /** Removes every fault and lets held tasks go on. */
  clear(): void {
    this.#armed.clear();
    this.release();
  }

  /** Lets tasks that a `task-hold` stopped go on. */
  release(): void {
    for (const go of this.#held) go();
    this.#held.clear();
  }

  /** Resolves at the next `release`. */
  held(): Promise<void> {
    return new Promise((resolve) => this.#held.add(resolve));
  }

  /** The effect of the first armed fault of `kind` that applies, counted as used. */
  take<K extends Effect['kind']>(
    kind: K,
    facts: Facts,
    when?: 'before' | 'after',
  ): Extract<Effect, { kind: K }> | undefined {
    for (const [id, fault] of this.#armed) {
      const { effect } = fault;
      if (effect.kind !== kind || !applies(fault.match ?? {}, facts)) continue;
      if (when !== undefined && 'when' in effect && effect.when !== when) continue;
      if (fault.left === 1) this.#armed.delete(id);
      else if (fault.left > 1) fault.left -= 1;
      return effect as Extract<Effect, { kind: K }>;
    }
    return undefined;
  }
}
