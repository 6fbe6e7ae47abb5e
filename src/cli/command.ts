import type { Readable, Writable } from 'node:stream';
import type { Config } from '../core/config/schema.ts';
import type { Finding } from '../core/model/finding.ts';
import type { BfcFiles } from './bfc/files.ts';

/** The server that `serve` runs; resolves after a graceful shutdown. */
export type Serve = (options: {
  config: Config;
  /** The configuration files that were read. */
  files: string[];
  /** Reloads the configuration, for SIGHUP. @throws ConfigError; the previous configuration stays in use. */
  reload: () => Promise<Config>;
}) => Promise<void>;

/**
 * Removes everything of a stopped server: pods, containers, images and their directories. Returns the paths in these
 * directories that stay, because they do not belong to the server.
 */
export type Wipe = (config: Config) => Promise<string[]>;

/** Checks the Proxmox cluster of the configuration, for `doctor`; nothing without one. */
export type ExamineProxmox = (config: Config) => Promise<Finding[]>;

/** Which store of root filesystems a start would choose, and why, for `doctor`. */
export type ExamineRootfs = (config: Config) => Promise<Finding[]>;

/** The same as comments of a dumped configuration, by the paths of keys (`rootfs.store`). */
export type RootfsNotes = (config: Config) => Promise<ReadonlyMap<string, string>>;

/**
 * What a token needs on a node with this version of Proxmox VE for pods as containers, as `doctor` asks for it, and the resource
 * pools of the guests, each after its parents.
 */
export type ProxmoxGrants = (
  config: Config,
  version: string,
) => Promise<{
  pools: readonly string[];
  grants: readonly { path: string; role: string; privileges: readonly string[]; propagate: boolean }[];
}>;

export type CliSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGPIPE';

/** Standard input; a terminal supports raw mode. */
export type InputStream = Readable & { isTTY?: boolean; setRawMode?: (raw: boolean) => unknown };

/** Standard output; a terminal has a size and emits 'resize'. */
export type OutputStream = Writable & { isTTY?: boolean; columns?: number; rows?: number };

/** The interfaces of commands to the outside. */
export interface CliContext {
  /** Called only by commands that read: access to a process's standard input opens it. */
  stdin: () => InputStream;
  stdout: OutputStream;
  stderr: OutputStream;
  env: NodeJS.ProcessEnv;
  serve: Serve;
  wipe: Wipe;
  examineProxmox: ExamineProxmox;
  examineRootfs: ExamineRootfs;
  rootfsNotes: RootfsNotes;
  proxmoxGrants: ProxmoxGrants;
  /** Loaded by the commands that need it. */
  bfcFiles: () => Promise<BfcFiles>;
  /** Declares the handlers' tables to the configuration; called before a command that reads it. */
  declareHandlers: () => Promise<void>;
  /** Calls `listener` for signals (SIGPIPE: the reader of stdout closed it) instead of exiting. Returns the unsubscriber. */
  onSignal(listener: (signal: CliSignal) => void): () => void;
  /** Help of the program ([]) or a command (["config", "dump"]); undefined for an unknown command. */
  help(path: readonly string[]): string | undefined;
}

/** Kind of a value, for completion; an object is a container or a pod. */
export type ValueKind = 'file' | 'container' | 'pod' | 'object' | 'image' | 'command' | 'handler';

export interface CommandOption {
  /** Long name without dashes. */
  name: string;
  /** One letter. */
  short?: string;
  /** Name of the value in the help; without it the option is a switch. */
  value?: string;
  description: string;
  /** May be given more than once. */
  repeat?: boolean;
  choices?: readonly string[];
  /** Values that the shell completes; others are valid as well. */
  suggestions?: readonly string[];
  kind?: ValueKind;
}

export interface CommandArgument {
  /** In upper case, as in the usage line. */
  name: string;
  description: string;
  optional?: boolean;
  /** Takes all remaining arguments; for the last one only. */
  variadic?: boolean;
  choices?: readonly string[];
  kind?: ValueKind;
}

/** An entry of the command table; help, completion, documentation and parsing are derived from it. */
export interface Command {
  name: string;
  /** One phrase without a full stop, for lists. */
  summary: string;
  /** Paragraphs below the usage line. */
  description?: string;
  arguments?: readonly CommandArgument[];
  options?: readonly CommandOption[];
  /** Examples of command lines, without the program's name. */
  examples?: readonly string[];
  /** Words after the first argument belong to another program and are not parsed as options. */
  passThrough?: boolean;
  commands?: readonly Command[];
  /** The command reads the configuration with its schema. */
  readsConfiguration?: boolean;
  /** The exit code for an error, also a usage error; absent: 1, and 2 for usage errors. */
  exitCodeOf?: (error: unknown) => number;
  /** Runs the command and returns its exit code. Absent on a group of commands. */
  run?: (context: CliContext, input: Input) => Promise<number>;
}

/** The parsed command line. */
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

/** A usage error: exit code 2. The message names the remedy. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** Thrown when the error was logged already: nothing more is printed. */
export class LoggedError extends Error {
  constructor(cause: unknown) {
    super('the error was logged', { cause });
    this.name = 'LoggedError';
  }
}
