import test, { type Implementation } from 'ava';

export type Handler = 'lxc' | 'crun';

const HANDLERS: readonly Handler[] = ['lxc', 'crun'];

/** The handlers for a test of code that both share: `chosen` in `test/run`, both in `test/long handlers`. */
export function sharedOn(chosen: Handler): readonly Handler[] {
  return process.env['EVERY_HANDLER'] === '1' ? HANDLERS : [chosen];
}

/** What registers a test of code that both handlers share for `handler`, if it is one of {@link sharedOn}. */
export function sharedTest(handler: Handler, chosen: Handler): (title: string, body: Implementation<[]>) => void {
  return (title, body) => {
    if (sharedOn(chosen).includes(handler)) test.serial(title, body);
  };
}
