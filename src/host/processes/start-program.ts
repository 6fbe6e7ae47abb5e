import { Socket } from 'node:net';
import { unavailable } from '../../core/model/errors.ts';
import { native } from '../native/helper.ts';
import type { StepResult } from '../native/messages.ts';
import type { Descriptor, SpawnStep } from '../native/steps.ts';

/** A started program, with its pipes. */
interface Program<Pipe extends number> {
  pid: number;
  /** By the program's descriptors; the caller destroys them. Their errors are ignored: 'close' follows. */
  pipes: Readonly<Record<Pipe, Socket>>;
  /**
   * Its result: it may have failed to start, too. Rejects with CriError UNAVAILABLE when the native helper was lost:
   * the program continues then, and its exit stays unknown.
   */
  ended: Promise<StepResult>;
}

/** What to start. */
export type ProgramStep<Pipe extends number> = Omit<SpawnStep, 'do' | 'started' | 'descriptors'> & {
  /** By descriptor: the direction of the data. */
  pipes: Readonly<Record<Pipe, 'in' | 'out'>>;
  /** The other descriptors. */
  descriptors?: SpawnStep['descriptors'];
};

/**
 * Starts a program through the native helper, with pipes to it that are real ones: Node.js gives its children sockets, and a
 * program that opens /dev/stdin or /dev/stdout fails on a socket (ENXIO). When `signal` fires the program is killed with its
 * process group.
 * @throws CriError UNAVAILABLE when there are too many open files, or no helper; the signal's reason when it fired before.
 */
export function startProgram<Pipe extends number>(
  { pipes, descriptors = {}, ...step }: ProgramStep<Pipe>,
  signal?: AbortSignal,
): Promise<Program<Pipe>> {
  const directions = Object.entries<'in' | 'out'>(pipes);
  const piped = directions.map(([number, way]): [string, Descriptor] => [number, { kind: `pipe-${way}` }]);
  return new Promise((resolve, reject) => {
    const started = (pid: number, opened: ReadonlyMap<number, number>) => {
      const sockets = directions.map(([number, way]) => [number, socketOf(opened.get(Number(number)), way)]);
      resolve({ pid, pipes: Object.fromEntries(sockets) as Record<Pipe, Socket>, ended });
    };
    const whole: SpawnStep = {
      ...step,
      do: 'spawn',
      descriptors: { ...descriptors, ...Object.fromEntries(piped) },
      started,
    };
    const ended = native.request([whole], { signal }).then(([result]) => {
      if (result === undefined) throw new Error('the native helper returned no result');
      return result;
    });
    // They have no effect once it was started.
    ended.then(({ problem }) => {
      reject(unavailable(`cannot run ${step.argv[0] ?? ''}: ${problem}`));
    }, reject);
  });
}

/**
 * {@link startProgram}, with a function that kills the program in the way of `signal`.
 * @throws as there; the signal's reason also when it fires meanwhile.
 */
export async function startKillable<Pipe extends number>(
  step: ProgramStep<Pipe>,
  signal?: AbortSignal,
): Promise<Program<Pipe> & { kill: () => void }> {
  const own = new AbortController();
  const either = signal === undefined ? own.signal : AbortSignal.any([signal, own.signal]);
  try {
    const program = await startProgram(step, either);
    return { ...program, kill: () => own.abort() };
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

function socketOf(fd: number | undefined, way: 'in' | 'out'): Socket {
  const socket = new Socket({ ...(fd !== undefined && { fd }), readable: way === 'out', writable: way === 'in' });
  return socket.on('error', () => undefined);
}
