import * as z from 'zod';

/** The key of a handler whose pods have a pause process. */
export const initKey = z
  .string()
  .regex(/^\/[^\0\n\r]*$/, 'must be an absolute path on one line, such as "/usr/bin/catatonit"')
  .default('/usr/bin/catatonit')
  .describe('the pause process: a statically linked init with a pause mode "-P"');
