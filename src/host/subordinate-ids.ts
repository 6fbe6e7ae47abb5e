/** Consecutive user or group ids, `first` to `first + count - 1`. */
export interface IdSpan {
  first: number;
  count: number;
}

/** The ids that lines of /etc/subuid or /etc/subgid (subuid(5)) give to one of `owners`, a name or a uid; other lines are ignored. */
export function subordinateIds(text: string, owners: readonly string[]): IdSpan[] {
  return text.split('\n').flatMap((line) => {
    const [, owner = '', first = '', count = ''] = /^([^:]+):(\d+):(\d+)\s*$/.exec(line) ?? [];
    return owners.includes(owner) ? [{ first: Number(first), count: Number(count) }] : [];
  });
}

/** Whether all ids of `wanted` are in `spans`, which may overlap and continue each other. */
export function hasSpan(spans: readonly IdSpan[], { first, count }: IdSpan): boolean {
  let next = first;
  for (const span of [...spans].sort((a, b) => a.first - b.first)) {
    if (span.first <= next) next = Math.max(next, span.first + span.count);
  }
  return next >= first + count;
}
