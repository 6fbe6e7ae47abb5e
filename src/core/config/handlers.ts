import type { z } from 'zod';

/** What the configuration must know of a RuntimeClass handler. */
export interface HandlerSchema {
  /** As RuntimeClass.handler names it. */
  name: string;
  /** Half a sentence for the operator: what a pod of it is. */
  summary: string;
  /** The keys of its table `[handlers.NAME]`; each has a default and a description. */
  schema: z.ZodObject;
}

let declared: readonly HandlerSchema[] = [];

/** Names the handlers of this program; the composition root calls it once, before a configuration is read. */
export function declareHandlers(handlers: readonly HandlerSchema[]): void {
  declared = handlers;
}

/** The handlers of this program. */
export function declaredHandlers(): readonly HandlerSchema[] {
  return declared;
}
