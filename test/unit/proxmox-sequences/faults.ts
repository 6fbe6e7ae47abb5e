import type { Fault } from '../../pve/state/faults.ts';
import type { Operation } from './model.ts';
import type { Random } from './random.ts';

const METHODS: Partial<Record<Operation['name'], string>> = { config: 'PUT', delete: 'DELETE' };
const STATUSES = [
  [500, 'something broke'],
  [502, 'Bad Gateway'],
  [503, 'Service Unavailable'],
  [595, 'Connection refused'],
  [596, 'Connection timed out'],
] as const;

/** The faults, by name, that one operation meets. */
export function randomFaults(random: Random, { name }: Operation): Fault[] {
  const write = { method: METHODS[name] ?? 'POST' };
  const when = random.of(['before', 'after'] as const);
  const [status, reason] = random.of(STATUSES);
  const refused = { effect: { kind: 'status', when, status, reason } } as const;
  const drop = { kind: 'drop', when } as const;
  const delay = { effect: { kind: 'task-delay', milliseconds: 1 + random.below(20) } } as const;
  const failed = { effect: { kind: 'task-fail', when, message: 'command failed' } } as const;
  return random.of<Fault[]>([
    [{ effect: drop, match: write }],
    [{ ...refused, match: write }],
    [delay, { effect: drop, match: write }],
    [delay, { ...refused, match: write }],
    [delay, failed, { effect: drop, match: write }],
    [delay],
    [failed],
    [delay, { ...refused, match: { method: 'GET' } }],
    [failed, { ...refused, match: { method: 'GET' } }],
    [{ effect: drop, match: { method: 'GET' }, times: 1 + random.below(3) }, delay],
    [{ effect: { kind: 'lock-timeout' } }],
    [{ effect: { kind: 'no-quorum' } }],
    [{ effect: { kind: 'full-storage' } }],
    [{ effect: { kind: 'slow-answer', milliseconds: 10 } }, delay],
  ]);
}
