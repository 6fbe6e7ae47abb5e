import type { z } from 'zod';

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
