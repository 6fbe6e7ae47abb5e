/** How often a connection that is not read is written to. */
const BEAT_MS = 500;

/**
 * Calls `beat` twice a second until `held` resolves. While a connection is not read, nothing tells that its peer has gone;
 * `beat` is to write something without effect to it, which fails then.
 */
export async function beatWhile(held: Promise<void>, beat: () => void): Promise<void> {
  const timer = setInterval(beat, BEAT_MS);
  try {
    await held;
  } finally {
    clearInterval(timer);
  }
}
