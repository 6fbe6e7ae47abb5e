import * as z from 'zod';

/** The VMIDs of the pods of each node of a Proxmox cluster, by node name. */
export type VmidRanges = Record<string, { first: number; size: number }>;

/** Without a declaration, as in a program that only reads other tables, any table is accepted. */
let declared: z.ZodType<VmidRanges> = z.record(z.string(), z.object({ first: z.int(), size: z.int() }));

/** Declares the schema of `proxmox.vmids`; called once by the composition root, before a configuration is read. */
export function declareVmidRanges(schema: z.ZodType<VmidRanges>): void {
  declared = schema;
}

/** The schema of `proxmox.vmids`. */
export function declaredVmidRanges(): z.ZodType<VmidRanges> {
  return declared;
}
