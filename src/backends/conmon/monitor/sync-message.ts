/** The message of conmon on its sync pipe after the runtime's `create`: the container's pid, or the error. */
export type SyncMessage = { pid: number } | { error: string };

/**
 * Parses conmon's line. With API version 1 it is `{"data": PID}` or `{"data": -1, "message": "…"}`; with 0 the key is
 * `pid`. Any other text, also an empty one (conmon exited), is an error without a message.
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
