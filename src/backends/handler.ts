import * as z from 'zod';
import type { Backend } from '../core/model/backend.ts';
import type { Logger } from '../core/model/logger.ts';
import type { SandboxProvider } from '../core/model/sandbox-provider.ts';
import type { ProxmoxNode } from './proxmox-node.ts';

/** The inputs of a handler to build its backend. */
export interface HandlerParts {
  /** Absolute path of the handler's own directory, which a reboot empties; it may not exist yet. */
  directory: string;
  /** Absolute path of a directory for programs that pods execute, shared by all handlers; it may not exist yet. */
  programs: string;
  /** The parts of a backend whose pods run on this kernel; they are shared by all handlers that use them. */
  host: Omit<Backend, 'sandboxes'>;
  /** The same sandboxes in scopes of systemd, where the cgroup driver asks for those. */
  inScopes: (sandboxes: SandboxProvider) => SandboxProvider;
  /** The node of Proxmox VE, for handlers that need it. */
  proxmox: () => ProxmoxNode;
  logger: Logger;
}

/** A RuntimeClass handler. */
export interface Handler {
  /** As RuntimeClass.handler names it; the key of its table `[handlers.NAME]`. */
  readonly name: string;
  /** Half a sentence for the operator: how it implements a pod. */
  readonly summary: string;
  /** The keys of its table; each has a default and a description. */
  readonly schema: z.ZodObject;
  /**
   * Name of its directory below `state` of the configuration, one that no other handler and no part of the server has. An
   * entry of a sandbox has the sandbox's id as its name, other names begin with a dot: `wipe` removes these, and `doctor`
   * reports those without a record.
   */
  readonly stateDirectory: string;
  /** Whether it is there only where `proxmox.hosts` is set. */
  readonly needsProxmox: boolean;
  /** Builds the backend. `settings` are the values of its table. @throws ZodError for values that its schema refuses. */
  readonly make: (settings: unknown, parts: HandlerParts) => Promise<Backend>;
}

/**
 * Declares a handler. It imports its parts when the backend is built, since every command of the program loads the
 * declarations.
 * @param handler.keys of its table in the configuration, each with a default and a description.
 */
export function defineHandler<S extends z.ZodRawShape>(handler: {
  name: string;
  summary: string;
  keys: S;
  stateDirectory: string;
  needsProxmox?: boolean;
  make(settings: z.output<z.ZodObject<S>>, parts: HandlerParts): Promise<Backend>;
}): Handler {
  const { name, summary, stateDirectory, needsProxmox = false } = handler;
  const schema = z.strictObject(handler.keys);
  return {
    name,
    summary,
    schema,
    stateDirectory,
    needsProxmox,
    make: async (settings, parts) => handler.make(schema.parse(settings ?? {}), parts),
  };
}
