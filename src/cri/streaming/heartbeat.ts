/** Interval of writes to a connection that is not read. */
const BEAT_MS = 500;

/**
 * Calls `beat` twice a second until `held` resolves. While a connection is not read, the loss of its peer goes unnoticed;
 * `beat` must write data without effect, which then fails.
 */
export async function beatWhile(held: Promise<void>, beat: () => void): Promise<void> {
  const timer = setInterval(beat, BEAT_MS);
  try {
    await held;
  } finally {
    clearInterval(timer);
  }
}
