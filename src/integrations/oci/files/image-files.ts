import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageFiles } from '../../../core/model/image-files.ts';
import { ChangePacker } from '../export/change-packer.ts';
import { OciArchiveExporter } from '../export/oci-archive-exporter.ts';
import { KeptJson } from '../../../utils/fs/kept-json.ts';
import { FileArchiveDirectory } from './archive-directory.ts';
import { DocumentFiles } from './document-files.ts';
import { StagedBlobs } from './staged-blobs.ts';

/** Locations of the files of images. */
export interface ImageFilePaths {
  /** Directory of documents, and of blobs that are being fetched. */
  content: string;
  /** Directory for layers while an export makes them. */
  exports: string;
  /** Directory of archives whose images are to be present; "": none. */
  archives: string;
  /** File with the list of imported archives. */
  archivesSeen: string;
}

/** The files of images in directories of this node. */
export function imageFiles({ content, exports, archives, archivesSeen }: ImageFilePaths): ImageFiles {
  return {
    documents: new DocumentFiles(content),
    blobs: new StagedBlobs(join(content, 'incoming')),
    archives: archives === '' ? undefined : new FileArchiveDirectory(archives, new KeptJson(archivesSeen)),
    exporter: new OciArchiveExporter(exports),
    packer: new ChangePacker(exports),
    freeBytes: async (path) => {
      const { bavail, bsize } = await statfs(path);
      return bavail * bsize;
    },
  };
}
