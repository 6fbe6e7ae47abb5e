import { startProgram } from '../../host/processes/start-program.ts';
import { errorFrom, zfsError } from './errors/from-outcome.ts';
import { CommandError } from '../../host/processes/run.ts';
import { environment } from './commands.ts';
import { checkPool } from './names.ts';

/** An event of the kernel module (zpool-events(8)). */
export interface ZfsEvent {
  /** `sysevent.fs.zfs.pool_export`, `ereport.fs.zfs.io_failure`; `dropped` where the kernel has lost some. */
  class: string;
  /** The pool it is about, where it is about one. */
  pool: string | undefined;
  /** Rising since the module was loaded. */
  id: bigint | undefined;
}

/** Characters of a line or of a value; longer ones are cut. */
const MAX_LINE = 65_536;

/**
 * Reads the output of `zpool events -Hv`: a line with time and class, then indented attributes, then an empty line. Values may
 * hold what others chose, line breaks included: an event is a hint to read the state again, and proves nothing.
 */
export class EventParser {
  #rest = '';
  #event: ZfsEvent | undefined;

  /** The events that are complete now. */
  push(chunk: string): ZfsEvent[] {
    const lines = (this.#rest + chunk).split('\n');
    this.#rest = (lines.pop() ?? '').slice(0, MAX_LINE);
    const events: ZfsEvent[] = [];
    for (const line of lines) {
      const [, dropped] = /^dropped (\d+) events$/.exec(line) ?? [];
      const [, name] = /^[A-Z][a-z]{2} [ \d]\d \d{4} [\d:.]+\t([\w.-]{1,200})$/.exec(line) ?? [];
      if (dropped !== undefined) events.push({ class: 'dropped', pool: undefined, id: undefined });
      else if (name !== undefined) this.#event = { class: name, pool: undefined, id: undefined };
      else if (line === '' && this.#event !== undefined) {
        events.push(this.#event);
        this.#event = undefined;
      } else if (this.#event !== undefined) note(this.#event, line);
    }
    return events;
  }
}

/** The first of an attribute counts; those of embedded lists are indented more. */
function note(event: ZfsEvent, line: string): void {
  const [, name, value = ''] = /^ {8}(pool|eid) = (.*)$/.exec(line) ?? [];
  if (name === 'pool') event.pool ??= /^"([A-Za-z][^"]{0,254})"$/.exec(value)?.[1];
  if (name === 'eid' && /^0x[0-9a-f]{1,16}$/.test(value)) event.id ??= BigInt(value);
}

/**
 * Follows the events of a pool, or of all, until `signal` fires; first come those that the kernel still has.
 * @throws the signal's reason; ZfsError when `zpool` ends by itself; CriError UNAVAILABLE when there is no native helper.
 */
export async function* followEvents(pool: string | undefined, signal: AbortSignal): AsyncGenerator<ZfsEvent> {
  const attempt = { what: 'zpool events', object: pool ?? '' };
  const kill = new AbortController();
  const { pipes, ended } = await startProgram(
    {
      argv: ['zpool', 'events', '-fHv', ...(pool === undefined ? [] : [checkPool(pool)])],
      env: environment,
      cwd: '/',
      pipes: { 1: 'out' },
      descriptors: { 2: { kind: 'capture', limit: 2000 } },
    },
    AbortSignal.any([signal, kill.signal]),
  );
  try {
    const parser = new EventParser();
    pipes[1].setEncoding('utf8');
    for await (const chunk of pipes[1] as AsyncIterable<string>) yield* parser.push(chunk);
    const { exit, outputs, problem } = await ended;
    signal.throwIfAborted();
    const stderr = outputs.get(2)?.bytes.toString('utf8') ?? '';
    if (stderr === '') throw zfsError('failed', attempt, problem || 'ended by itself');
    throw errorFrom(attempt, new CommandError('zpool', 'zpool ended', { exitCode: exit?.code, stdout: '', stderr }));
  } finally {
    kill.abort();
    pipes[1].destroy();
  }
}
