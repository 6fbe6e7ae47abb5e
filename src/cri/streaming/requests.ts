import type { TerminalSize } from '../../core/model/container-runner.ts';
import type { ContainerStreams } from '../../core/model/container-runner.ts';
import { invalidArgument } from '../../core/model/errors.ts';

/** Which streams a client will have, as CRI ExecRequest and AttachRequest say it. */
export interface StreamFlags {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
}

/** What happens at the other end of a session; `io` is the client's end, `signal` fires when the client is lost. */
export interface RemoteCommand {
  kind: 'exec' | 'attach';
  flags: StreamFlags;
  /** Resolves with the exit code; an attachment that ended in order gives 0. */
  run: (io: ContainerStreams, signal: AbortSignal) => Promise<number>;
}

/** Connections into a pod; one session carries many of them. */
export interface PortForward {
  kind: 'portforward';
  /** Ports named in the CRI call; often none, the client then names them. */
  ports: readonly number[];
  run: (port: number, io: ContainerStreams, signal: AbortSignal) => Promise<void>;
}

/** What a token stands for. */
export type StreamingRequest = RemoteCommand | PortForward;

export type { ContainerStreams, TerminalSize };

/** @throws CriError INVALID_ARGUMENT for flags that no session can have; the words are those of other runtimes. */
export function checkFlags({ stdin, stdout, stderr, tty }: StreamFlags): void {
  if (tty && stderr) {
    throw invalidArgument('tty', 'tty and stderr cannot both be true: a terminal has one output');
  }
  if (!stdin && !stdout && !stderr) {
    throw invalidArgument('stdin', 'one of stdin, stdout, or stderr must be set');
  }
}

/** @throws CriError INVALID_ARGUMENT for a number that is no port. */
export function checkPort(port: number): void {
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw invalidArgument('port', `${String(port)} is no port: use 1 to 65535`);
  }
}
