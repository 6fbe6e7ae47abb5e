import type * as z from 'zod';

/** The parts of a RuntimeClass handler that the configuration and `doctor` need. */
export interface HandlerSchema {
  /** As RuntimeClass.handler names it. */
  name: string;
  /** Half a sentence for the operator: how it implements a pod. */
  summary: string;
  /** The keys of its table `[handlers.NAME]`; each has a default and a description. */
  schema: z.ZodObject;
  /** Name of its directory in the state directory, in which an entry of a sandbox has the sandbox's id as its name. */
  stateDirectory: string;
  /** Whether it is there only where `proxmox.hosts` is set. */
  needsProxmox?: boolean;
}

let declared: readonly HandlerSchema[] = [];

/** Declares the handlers of this program; called once by the composition root, before a configuration is read. */
export function declareHandlers(handlers: readonly HandlerSchema[]): void {
  declared = handlers;
}

/** The handlers of this program. */
export function declaredHandlers(): readonly HandlerSchema[] {
  return declared;
}

/** The names of the handlers that a server with this configuration has. */
export function servedHandlers({ handlers, proxmox }: ServedBy): string[] {
  const absent = proxmox.hosts.length > 0 ? [] : declared.filter(({ needsProxmox }) => needsProxmox === true);
  return Object.keys(handlers).filter((name) => !absent.some((handler) => handler.name === name));
}

/** What of a configuration says it. */
interface ServedBy {
  /** The tables by the names of the handlers. */
  handlers: Readonly<Record<string, unknown>>;
  proxmox: { hosts: readonly string[] };
}
