import type { BfcFiles } from '../cli/bfc/files.ts';
import { readPassword } from '../integrations/bfc/images/secrets.ts';
import { readKeyFile } from '../integrations/bfc/key.ts';
import { openBfc } from '../integrations/bfc/reader.ts';
import { describe, list } from './describe.ts';
import { encryptionIn } from './open.ts';
import { pack } from './pack.ts';
import { unpack } from './unpack.ts';
import { verify } from './verify.ts';

/** What the command line does with BFC files. */
export const bfcFiles: BfcFiles = {
  readKey: readKeyFile,
  readPassword,
  encryptionOf: async (file) => {
    await using reader = await openBfc(file);
    return encryptionIn(reader);
  },
  pack,
  unpack,
  describe,
  list,
  verify,
};
