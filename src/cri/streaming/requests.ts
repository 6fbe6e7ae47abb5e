import type { TerminalSize } from '../../core/model/container-runner.ts';
import type { ContainerStreams } from '../../core/model/container-runner.ts';
import { invalidArgument } from '../../core/model/errors.ts';

/** The streams of a client (CRI ExecRequest and AttachRequest). */
export interface StreamFlags {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
}

/** The remote end of a streaming session; `io` is the client's end, `signal` fires when the client is lost. */
export interface RemoteCommand {
  kind: 'exec' | 'attach';
  flags: StreamFlags;
  /** Resolves with the exit code; 0 for attach. */
  run: (io: ContainerStreams, signal: AbortSignal) => Promise<number>;
}

/** Connections into a pod; one streaming session has many of them. */
export interface PortForward {
  kind: 'portforward';
  /** Ports of the CRI request; often none, since the client names them. */
  ports: readonly number[];
  run: (port: number, io: ContainerStreams, signal: AbortSignal) => Promise<void>;
}

/** The request of a token. */
export type StreamingRequest = RemoteCommand | PortForward;

export type { ContainerStreams, TerminalSize };

/** @throws CriError INVALID_ARGUMENT for invalid flags; the messages are those of other runtimes. */
export function checkFlags({ stdin, stdout, stderr, tty }: StreamFlags): void {
  if (tty && stderr) {
    throw invalidArgument('tty', 'tty and stderr cannot both be true: a terminal has one output');
  }
  if (!stdin && !stdout && !stderr) {
    throw invalidArgument('stdin', 'one of stdin, stdout, or stderr must be set');
  }
}

/** @throws CriError INVALID_ARGUMENT for an invalid port. */
export function checkPort(port: number): void {
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw invalidArgument('port', `${String(port)} is not a port from 1 to 65535`);
  }
}
