import { constants } from 'node:os';
import { Signal } from '../../../../api/gen/cri.ts';
import { invalidArgument } from '../../model/errors.ts';

/** First and last real-time signal as glibc numbers them (signal(7)). */
const SIGRTMIN = 34;
const SIGRTMAX = 64;
const SIGTERM = 15;
/** Names of Linux that Node.js does not list. */
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

/**
 * The number of the signal that asks a container to end: the request's, else the image's `StopSignal`, else SIGTERM. An
 * image whose signal nobody knows gets SIGTERM.
 * @throws CriError INVALID_ARGUMENT for a value outside CRI's Signal.
 */
export function stopSignal(requested: Signal, image: string): number {
  if (requested === Signal.SIGNAL_RUNTIME_DEFAULT) return signalNumber(image) ?? SIGTERM;
  const entry = Object.entries(Signal).find(([, value]) => value === requested);
  const name = entry?.[0]
    .replace(/^SIGNAL_/, '')
    .replace('PLUS', '+')
    .replace('MINUS', '-');
  const number = name === undefined ? undefined : signalNumber(name);
  if (number === undefined) throw invalidArgument('config.stop_signal', `${String(requested)} is no signal`);
  return number;
}

/** CRI's value for a signal number, for ContainerStatus.stop_signal. */
export function criSignal(number: number): Signal {
  const match = Object.entries(Signal).find(([key]) => {
    const name = key
      .replace(/^SIGNAL_/, '')
      .replace('PLUS', '+')
      .replace('MINUS', '-');
    return key !== 'SIGNAL_RUNTIME_DEFAULT' && signalNumber(name) === number;
  });
  return match?.[1] ?? Signal.SIGNAL_RUNTIME_DEFAULT;
}

function inRange(number: number): number | undefined {
  return number >= 1 && number <= SIGRTMAX ? number : undefined;
}
