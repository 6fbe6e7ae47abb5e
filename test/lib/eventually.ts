import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds after which a wait of a test is a hang: many times what a slow and loaded machine needs. */
export const HANG_MS = 300_000;

/** Milliseconds of the first pause and the longest: most calls cost the machine more than they wait. */
const PAUSES_MS = { first: 10, longest: 160 };

/**
 * Waits for an event that nothing reports: polls until there is a result, and returns it.
 * @param what names the event in the error.
 * @param look returns undefined or false until the event has happened; its error ends the wait.
 * @throws Error when nothing was found for {@link HANG_MS}.
 */
export async function eventually<T>(
  what: string,
  look: () => T | false | undefined | Promise<T | false | undefined>,
): Promise<T> {
  const begun = performance.now();
  for (let pause = PAUSES_MS.first; ; pause = Math.min(1.5 * pause, PAUSES_MS.longest)) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() - begun > HANG_MS) throw new Error(`waited in vain for ${what}`);
    await sleep(pause);
  }
}
