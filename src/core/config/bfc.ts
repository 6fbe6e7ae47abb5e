import * as z from 'zod';

const absolutePath = z.string().regex(/^\/[^\0\n\r]*$/, 'must be an absolute path');

/** The table `[bfc]`. */
export function bfcTable() {
  return z
    .strictObject({
      directory: z
        .string()
        .regex(/^$|^\/[^\0\n\r]*$/, 'must be an absolute path, or "" for none')
        .default('')
        .describe(
          'directory of BFC files (*.bfc) whose images are pulled by name before any registry is asked, and below which a pull may name a file (bfc:///PATH/FILE.bfc); only the administrator may write there; "" for none',
        ),
      import: z
        .boolean()
        .default(true)
        .describe(
          'import the images of each file as soon as it is in the directory; otherwise they are imported when they are pulled',
        ),
      key_files: z
        .array(absolutePath)
        .default([])
        .describe('files with the keys of encrypted BFC files, 32 bytes each; each is tried')
        .meta({ examples: [['/etc/proxmox-lxcri/bfc.key']] }),
      password_files: z
        .array(absolutePath)
        .default([])
        .describe(
          'files with the passwords of encrypted BFC files, one each, without the end of the line; each is tried',
        )
        .meta({ examples: [['/etc/proxmox-lxcri/bfc.password']] }),
    })
    .prefault({})
    .describe('images in BFC files, for nodes without a registry');
}
