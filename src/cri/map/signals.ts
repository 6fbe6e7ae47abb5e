import { Signal } from '../../../api/gen/cri.ts';
import { signalNumber } from '../../core/lifecycle/oci/signals.ts';
import { invalidArgument } from '../../core/model/errors.ts';

/** CRI's signals by their numbers; the first of several names of one number. */
const BY_NUMBER = new Map<number, Signal>();
const NUMBERS = new Map<Signal, number>();
for (const [key, value] of Object.entries(Signal)) {
  const name = key
    .replace(/^SIGNAL_/, '')
    .replace('PLUS', '+')
    .replace('MINUS', '-');
  const number = value === Signal.SIGNAL_RUNTIME_DEFAULT ? undefined : signalNumber(name);
  if (number === undefined) continue;
  NUMBERS.set(value, number);
  if (!BY_NUMBER.has(number)) BY_NUMBER.set(number, value);
}

/**
 * The kernel's number of the requested signal; undefined for the image's.
 * @throws CriError INVALID_ARGUMENT for a value outside CRI's Signal.
 */
export function stopSignal(requested: Signal): number | undefined {
  if (requested === Signal.SIGNAL_RUNTIME_DEFAULT) return undefined;
  const number = NUMBERS.get(requested);
  if (number === undefined) throw invalidArgument('config.stop_signal', `${String(requested)} is not a signal`);
  return number;
}

/** CRI's value for a signal number, for ContainerStatus.stop_signal. */
export function criSignal(number: number): Signal {
  return BY_NUMBER.get(number) ?? Signal.SIGNAL_RUNTIME_DEFAULT;
}
