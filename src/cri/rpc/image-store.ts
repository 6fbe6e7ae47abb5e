import type { ImageStoreService } from '../../../api/gen/proxmoxlxcri/v1/images.ts';
import { checkAbsolutePath } from '../../core/lifecycle/checks.ts';
import type { Handlers } from '../handlers.ts';
import type { Services } from './services.ts';

/** The server's own service beside CRI: bringing images in from files. */
export function imageStoreCalls({ images }: Services): Handlers<typeof ImageStoreService> {
  return {
    import: async ({ path, reference }, { signal }) => {
      checkAbsolutePath('path', path);
      const imageIds = await images.import(path, { ...(reference !== '' && { ref: reference }), signal });
      const names = imageIds.flatMap((id) => images.status(id)?.repoTags ?? []);
      return { imageIds, names };
    },
  };
}
