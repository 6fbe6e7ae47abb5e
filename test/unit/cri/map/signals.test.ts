import test from 'ava';
import { Signal } from '../../../../api/gen/cri.ts';
import { StatusCode } from '../../../../src/core/model/errors.ts';
import { criSignal, stopSignal } from '../../../../src/cri/map/signals.ts';

test('CRI signals map to kernel numbers and back', (t) => {
  t.is(stopSignal(Signal.SIGNAL_RUNTIME_DEFAULT), undefined);
  t.is(stopSignal(Signal.SIGNAL_SIGRTMINPLUS3), 37);
  t.is(criSignal(15), Signal.SIGNAL_SIGTERM);
  t.is(criSignal(0), Signal.SIGNAL_RUNTIME_DEFAULT);
  for (const [name, value] of Object.entries(Signal)) {
    const number = stopSignal(value);
    if (number !== undefined) t.is(stopSignal(criSignal(number)), number, name);
    else t.is(value, Signal.SIGNAL_RUNTIME_DEFAULT);
  }
  t.throws(() => stopSignal(99 as Signal), { code: StatusCode.INVALID_ARGUMENT } as object);
});
