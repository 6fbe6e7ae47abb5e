import * as z from 'zod';
import { CriError, StatusCode, unavailable, unknown } from '../../core/model/errors.ts';

/** Characters of an unreadable status that an error quotes. */
const QUOTED = 200;

// Go writes an empty value as null, or omits it.
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? undefined);
const status = z.object({
  status: z.enum(['Success', 'Failure']),
  message: text,
  reason: text,
  details: z
    .object({ causes: z.array(z.object({ reason: text, message: text })).nullish() })
    .nullish()
    .transform((value) => value?.causes ?? []),
});
const exitCode = z.string().regex(/^(?:0|[1-9]\d{0,9})$/);

/**
 * The exit code in the message of the status channel, a Kubernetes Status object (metav1.Status).
 * @throws CriError UNKNOWN with the server's message, UNAVAILABLE when there was none, INTERNAL for anything else.
 */
export function exitCodeOfStatus(content: string): number {
  if (content === '') throw unavailable('the server closed the streaming session without a status');
  const { message, reason, details, ...parsed } = parse(content);
  if (parsed.status === 'Success') return 0;
  if (reason === 'NonZeroExitCode') {
    const cause = details.find((candidate) => candidate.reason === 'ExitCode');
    const code = exitCode.safeParse(cause?.message);
    if (!code.success) throw malformed(content);
    return Number(code.data);
  }
  throw unknown(message ?? 'the streaming session failed');
}

function parse(content: string): z.output<typeof status> {
  let json: unknown;
  try {
    json = JSON.parse(content);
  } catch (cause) {
    throw malformed(content, cause);
  }
  const parsed = status.safeParse(json);
  if (!parsed.success) throw malformed(content);
  return parsed.data;
}

function malformed(content: string, cause?: unknown): CriError {
  const quoted = JSON.stringify(content.slice(0, QUOTED)) + (content.length > QUOTED ? '…' : '');
  const problem = `the streaming server sent ${quoted}, which is no status of a streaming session`;
  return new CriError(StatusCode.INTERNAL, problem, { cause });
}
