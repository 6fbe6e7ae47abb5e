import type { Readable, Writable } from 'node:stream';
import type { Config } from '../core/config/schema.ts';

/** What `serve` needs from the program: it resolves when the server has shut down in good order. */
export type Serve = (options: {
  config: Config;
  /** The configuration files that were read. */
  files: string[];
  /** Reads and checks the configuration again, for SIGHUP. @throws ConfigError, and the old one stays in force. */
  reload: () => Promise<Config>;
}) => Promise<void>;

/**
 * Removes everything of a server that does not run: pods, containers, images and the directories they are in. Returns the
 * paths in those that stay, because they are not the server's.
 */
export type Wipe = (config: Config) => Promise<string[]>;

export type CliSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGPIPE';

/** Standard input; a terminal can be made raw. */
export type InputStream = Readable & { isTTY?: boolean; setRawMode?: (raw: boolean) => unknown };

/** Standard output; a terminal has a size and emits 'resize'. */
export type OutputStream = Writable & { isTTY?: boolean; columns?: number; rows?: number };

/** What commands reach the outside through. */
export interface CliContext {
  /** To be called by commands that read: merely looking at a process's standard input opens it. */
  stdin: () => InputStream;
  stdout: OutputStream;
  stderr: OutputStream;
  env: NodeJS.ProcessEnv;
  serve: Serve;
  wipe: Wipe;
  /** Makes the handlers' tables known to the configuration; before a command that reads it. */
  declareHandlers: () => Promise<void>;
  /** Calls `listener` for signals (SIGPIPE: the reader of stdout is gone) instead of ending. Returns the unsubscriber. */
  onSignal(listener: (signal: CliSignal) => void): () => void;
  /** Help text of the program ([]) or a command (["config", "dump"]); undefined when there is no such command. */
  help(path: readonly string[]): string | undefined;
}

/** What a value is, so that the shell can offer some; an object is a container or a pod. */
export type ValueKind = 'file' | 'container' | 'pod' | 'object' | 'image' | 'command' | 'handler';

export interface CommandOption {
  /** Long name without dashes. */
  name: string;
  /** One letter. */
  short?: string;
  /** What the help calls the value; without it the option is a switch. */
  value?: string;
  description: string;
  /** May be given more than once. */
  repeat?: boolean;
  choices?: readonly string[];
  /** What the shell offers, among other values that may be right. */
  suggestions?: readonly string[];
  kind?: ValueKind;
}

export interface CommandArgument {
  /** In capitals, as in the usage line. */
  name: string;
  description: string;
  optional?: boolean;
  /** Takes all that follow; only the last one can. */
  variadic?: boolean;
  choices?: readonly string[];
  kind?: ValueKind;
}

/** A command as the table holds it: help, completion, documentation and parsing are made from it. */
export interface Command {
  name: string;
  /** One phrase without a full stop, for lists. */
  summary: string;
  /** Paragraphs below the usage line. */
  description?: string;
  arguments?: readonly CommandArgument[];
  options?: readonly CommandOption[];
  /** Command lines to try, without the program's name. */
  examples?: readonly string[];
  /** What follows the first argument belongs to another program and is not read as options. */
  passThrough?: boolean;
  commands?: readonly Command[];
  /** Reads the configuration with its schema. */
  readsConfiguration?: boolean;
  /** The exit code for an error, also one of the command line; absent: 1, and 2 for the command line. */
  exitCodeOf?: (error: unknown) => number;
  /** Does the work and gives the exit code. Absent on a command that only holds others. */
  run?: (context: CliContext, input: Input) => Promise<number>;
}

/** The checked words of a command line. */
export class Input {
  readonly args: readonly string[];
  readonly #options: Readonly<Record<string, unknown>>;

  constructor(args: readonly string[], options: Readonly<Record<string, unknown>>) {
    this.args = args;
    this.#options = options;
  }

  /** Whether a switch was given. */
  has(name: string): boolean {
    return this.#options[name] === true;
  }

  /** The value of an option, undefined when it was not given. */
  text(name: string): string | undefined {
    const value = this.#options[name];
    return typeof value === 'string' ? value : undefined;
  }

  /** All values of an option that may be repeated. */
  list(name: string): readonly string[] {
    const value = this.#options[name];
    return Array.isArray(value) ? (value as string[]) : [];
  }
}

/** The command line is wrong: exit code 2. The message says what to write. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}
