import { join } from 'node:path';
import type { ImageFiles } from '../../src/core/model/image-files.ts';
import { imageFiles } from '../../src/integrations/oci/files/image-files.ts';

/** Files of images below one directory, with a directory of archives or none. */
export function imageFilesBelow(root: string, archives = ''): ImageFiles {
  return imageFiles({
    content: join(root, 'content'),
    exports: join(root, 'export'),
    archives,
    archivesSeen: join(root, 'archives.json'),
  });
}
