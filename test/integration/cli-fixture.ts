import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { TestFn } from 'ava';
import { ServerFixture } from './server-fixture.ts';
import { programFile } from '../lib/program.ts';

/** How a command ended and what it wrote. */
export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** A command that runs. */
export interface Running {
  process: ChildProcessWithoutNullStreams;
  done: Promise<Outcome>;
}

/** The command line as its own process, a client of one server. */
export class Cli {
  readonly address: string;
  readonly #temporary: string;

  /** `temporary` is where `run` makes its log directories. */
  constructor(server: ServerFixture, temporary: string) {
    this.address = `unix://${server.socket}`;
    this.#temporary = temporary;
  }

  /** Names of the log directories of runs. */
  logDirectories(): Promise<string[]> {
    return readdir(this.#temporary);
  }

  /** The environment that commands run in. */
  get env(): NodeJS.ProcessEnv {
    return { ...process.env, TMPDIR: this.#temporary, CONTAINER_RUNTIME_ENDPOINT: '' };
  }

  /** The whole command line, without the program that runs it. */
  words(command: string, ...args: string[]): string[] {
    return [programFile('main'), command, '--address', this.address, ...args];
  }

  /** Starts a command whose standard input stays open. */
  start(command: string, ...args: string[]): Running {
    const child = spawn(process.execPath, this.words(command, ...args), { stdio: 'pipe', env: this.env });
    child.stdin.on('error', () => undefined); // It may exit before it has read everything.
    const done = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]).then(
      ([stdout, stderr, [code]]) => ({ code: code as number, stdout, stderr }),
    );
    return { process: child, done };
  }

  /** Resolves when the command has written more output; fails when it exits instead. */
  async output({ process: child, done }: Running): Promise<void> {
    const ended = done.then((outcome) => Promise.reject(new Error(`it ended: ${JSON.stringify(outcome)}`)));
    await Promise.race([once(child.stdout, 'data'), ended]);
    ended.catch(() => undefined);
  }

  /** Runs a command to its end with an empty standard input. */
  run(command: string, ...args: string[]): Promise<Outcome> {
    return this.feed('', command, ...args);
  }

  /** Runs a command to its end with `input` as its standard input. */
  feed(input: string | Buffer, command: string, ...args: string[]): Promise<Outcome> {
    const running = this.start(command, ...args);
    running.process.stdin.end(input);
    return running.done;
  }
}

/**
 * One server for all tests of a file, and the command line as its client; called once, at the top. `prepare` creates
 * what all tests need.
 */
export function sharedServer(
  test: TestFn,
  prepare: (cli: Cli) => Promise<void> = () => Promise.resolve(),
): { readonly server: ServerFixture; readonly cli: Cli } {
  const cleanup: (() => unknown)[] = [];
  const shared: { server?: ServerFixture; cli?: Cli } = {};
  test.before(async (t) => {
    const owner = { teardown: (step: () => unknown) => cleanup.push(step), log: t.log, passed: true };
    const server = await ServerFixture.make(owner);
    const temporary = join(server.directory, 'logs');
    await mkdir(temporary);
    shared.server = server;
    shared.cli = new Cli(server, temporary);
    await prepare(shared.cli);
  });
  test.after.always(async () => {
    for (const step of cleanup.reverse()) await step();
  });
  return shared as { server: ServerFixture; cli: Cli };
}
