import * as z from 'zod';
import { messageOf } from '../../../utils/errors.ts';
import type { Scrubber } from '../auth/scrubber.ts';
import type { Call } from '../call.ts';
import type { Answer, ExchangeError } from '../transport/exchange.ts';
import { AmbiguousOutcomeError, type ErrorDetails, type ErrorKind, ProxmoxError } from './proxmox-error.ts';
import { rereadOf } from './reread.ts';
import { isLostAnswer, ruleFor, STATUS_KINDS } from './table.ts';

/** The words in an error's body; `message` is there since pve-http-server 5.2 (2025-01), before only in the status line. */
const ERROR_BODY = z.object({
  message: z.string().optional().catch(undefined),
  errors: z.record(z.string(), z.unknown()).optional().catch(undefined),
});

const LONGEST = 1000;

/** The error for an answer that is not 200. */
export function errorFrom(call: Call, answer: Answer, scrubber: Scrubber): ProxmoxError {
  const { status } = answer;
  const body = parsed(answer.body);
  const said = tidy(scrubber.clean(body.message || answer.reason || `status ${status} without a message`));
  const parameters = mapValues(body.errors ?? {}, (text) => tidy(scrubber.clean(text)));
  const details = { call, status, ...refine(status, said, parameters) };
  const wrong = Object.entries(parameters).map(([name, text]) => `${name}: ${text}`);
  const message = [said, ...(wrong.length > 0 ? [wrong.join('; ')] : []), ...hint(details)].join(' ');
  if (call.method === 'GET' || !maybeDone(status, said, parameters)) return new ProxmoxError(message, details);
  return new AmbiguousOutcomeError(message, details, rereadOf(call));
}

/**
 * The error for a call without an answer; `reasons` are those of all hosts. Kind `aborted` if the caller's signal ended it.
 */
export function errorWithout(call: Call, failure: ExchangeError, reasons: string, signal?: AbortSignal): ProxmoxError {
  const kind: ErrorKind = signal?.aborted ? 'aborted' : failure.isTimeout ? 'timeout' : 'unreachable';
  const message = kind === 'aborted' ? `aborted: ${messageOf(signal?.reason)}` : reasons;
  const details = { call, kind, status: 0 };
  if (call.method === 'GET' || !failure.wasSent) return new ProxmoxError(message, details);
  return new AmbiguousOutcomeError(message, details, rereadOf(call));
}

/** A task's exit status, or any other message of the server, by the same table. */
export function refineMessage(said: string): Pick<ErrorDetails, 'kind' | 'lock'> {
  const found = ruleFor(said);
  if (!found) return { kind: 'failed' };
  return { kind: found.rule.kind, ...(found.lock !== undefined && { lock: found.lock }) };
}

function refine(
  status: number,
  said: string,
  parameters: Readonly<Record<string, string>>,
): Omit<ErrorDetails, 'call' | 'status'> {
  const texts = Object.values(parameters);
  const known = STATUS_KINDS[status];
  if (status === 403) return forbidden(said);
  if (status === 400) {
    // "no such task", "VM 100 already exists" and "Only root may use this option." come as a parameter's error.
    const precise = texts.map((text) => refineMessage(text).kind).find((kind) => PRECISE.includes(kind));
    return { kind: precise ?? 'invalid', parameters };
  }
  return known ? { kind: known } : { ...refineMessage(said), ...(texts.length > 0 && { parameters }) };
}

const PRECISE: readonly ErrorKind[] = ['notFound', 'alreadyExists', 'rootOnly', 'unsupported'];

/** "Permission check failed (/vms/410, VM.Audit)", "(/pool/a, VM.Allocate|VM.Backup)", or words in the parentheses. */
function forbidden(said: string): Omit<ErrorDetails, 'call' | 'status'> {
  const [, path, names] = /\((\/[^,()]*),\s*([A-Za-z.|,\s]+)\)/.exec(said) ?? [];
  if (path !== undefined && names !== undefined) {
    return { kind: 'forbidden', privilege: { path, names: names.split(/[|,\s]+/).filter(Boolean) } };
  }
  const { kind } = refineMessage(said);
  return { kind: kind === 'rootOnly' || kind === 'notFound' ? kind : 'forbidden' };
}

/** Whether a failed change may be there all the same. */
function maybeDone(status: number, said: string, parameters: Readonly<Record<string, string>>): boolean {
  if (isLostAnswer(status)) return true;
  if (status === 400) return Object.values(parameters).some((text) => ruleFor(text)?.rule.wrote === true);
  if (status < 500 || STATUS_KINDS[status]) return false;
  const found = ruleFor(said);
  return !found || found.rule.wrote === true;
}

/** What to do, where that follows from the error. */
function hint({ kind, privilege }: Pick<ErrorDetails, 'kind' | 'privilege'>): string[] {
  if (privilege) return [`- the user or token lacks ${privilege.names.join(' or ')} on ${privilege.path}`];
  if (kind === 'rootOnly') return ['- only a ticket of root@pam may do this, no token'];
  return [];
}

function parsed(body: string): z.infer<typeof ERROR_BODY> {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    // Empty for a 401, or text of a proxy in between: the status line says what there is to say.
    return {};
  }
  return ERROR_BODY.safeParse(json).data ?? {};
}

function mapValues(values: Record<string, unknown>, change: (text: string) => string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      change(typeof value === 'string' ? value : JSON.stringify(value)),
    ]),
  );
}

/** One line, of bounded length. */
function tidy(text: string): string {
  const line = text.replaceAll(/[\s\p{Cc}]+/gu, ' ').trim();
  return line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line;
}
