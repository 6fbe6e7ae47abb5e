/** What conmon says on its sync pipe after the runtime's `create`: the container's pid, or why there is none. */
export type SyncMessage = { pid: number } | { error: string };

/**
 * Reads conmon's line. With API version 1 it is `{"data": PID}` or `{"data": -1, "message": "…"}`; with 0 the key is `pid`.
 * Text that is neither, or empty (conmon ended without a word), is an error without words.
 */
export function parseSyncMessage(text: string): SyncMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { error: '' };
  }
  if (typeof value !== 'object' || value === null) return { error: '' };
  const { data, pid, message } = value as Record<string, unknown>;
  const number = data ?? pid;
  if (typeof number === 'number' && Number.isSafeInteger(number) && number > 0) return { pid: number };
  return { error: typeof message === 'string' ? message.trim() : '' };
}
