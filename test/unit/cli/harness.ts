import { PassThrough, Transform } from 'node:stream';
import { text } from 'node:stream/consumers';
import { bfcFiles } from '../../../src/bfc-files/index.ts';
import type { CliSignal, InputStream, Serve } from '../../../src/cli/command.ts';
import { runCli } from '../../../src/cli/main.ts';

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a command line in this process. `signals` receives a function that sends it signals. */
export async function cli(
  argv: readonly string[],
  outside: {
    serve?: Serve;
    signals?: (send: (signal: CliSignal) => void) => void;
    onStdout?: (text: string) => void;
    /** Called before the command goes on. */
    onStderr?: (text: string) => void;
    env?: NodeJS.ProcessEnv;
    stdin?: InputStream;
  } = {},
): Promise<Outcome> {
  const stdout = new PassThrough();
  const stderr = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      outside.onStderr?.(chunk.toString());
      done(null, chunk);
    },
  });
  stdout.on('data', (chunk: Buffer) => outside.onStdout?.(chunk.toString()));
  const texts = Promise.all([text(stdout), text(stderr)]);
  const listeners = new Set<(signal: CliSignal) => void>();
  outside.signals?.((signal) => {
    for (const listener of listeners) listener(signal);
  });
  const serve: Serve = outside.serve ?? (() => Promise.reject(new Error('serve was not expected')));
  const code = await runCli(
    argv,
    {
      serve,
      wipe: () => Promise.reject(new Error('wipe was not expected')),
      examineProxmox: () => Promise.resolve([]),
      examineRootfs: () => Promise.resolve([]),
      rootfsNotes: () => Promise.resolve(new Map()),
      proxmoxGrants: () => Promise.reject(new Error('proxmoxGrants was not expected')),
      bfcFiles: () => Promise.resolve(bfcFiles),
      declareHandlers: () => Promise.resolve(), // the test has
    },
    {
      stdin: () => outside.stdin ?? new PassThrough().end(),
      stdout,
      stderr,
      env: outside.env ?? {},
      onSignal: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
  );
  stdout.end();
  stderr.end();
  const [out, err] = await texts;
  return { code, stdout: out, stderr: err };
}
