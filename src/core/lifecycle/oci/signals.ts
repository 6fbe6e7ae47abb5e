import { constants } from 'node:os';

/** First and last real-time signal in glibc (signal(7)). */
const SIGRTMIN = 34;
const SIGRTMAX = 64;
const SIGTERM = 15;
/** Linux names that Node.js lacks. */
const MORE: Record<string, number> = { SIGCLD: 17, SIGIOT: 6, SIGPOLL: 29 };

/**
 * The kernel's number of a signal written as `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3` or `SIGRTMAX-1`; undefined for
 * anything else.
 */
export function signalNumber(text: string): number | undefined {
  const name = text.trim().toUpperCase();
  if (/^\d{1,2}$/.test(name)) return inRange(Number(name));
  const full = name.startsWith('SIG') ? name : `SIG${name}`;
  const realTime = /^SIG(RTMIN|RTMAX)(?:(\+|-)(\d{1,2}))?$/.exec(full);
  if (realTime !== null) {
    const [, base, sign, digits] = realTime;
    const distance = Number(digits ?? 0);
    const number = base === 'RTMIN' ? SIGRTMIN + distance : SIGRTMAX - distance;
    const outward = base === 'RTMIN' ? sign === '-' : sign === '+';
    return outward || number < SIGRTMIN || number > SIGRTMAX ? undefined : number;
  }
  const signals: Record<string, number | undefined> = { ...MORE, ...constants.signals };
  return signals[full];
}

/** The number of an image's `StopSignal`; SIGTERM without one, and for an unknown one. */
export function imageStopSignal(text: string): number {
  return signalNumber(text) ?? SIGTERM;
}

function inRange(number: number): number | undefined {
  return number >= 1 && number <= SIGRTMAX ? number : undefined;
}
