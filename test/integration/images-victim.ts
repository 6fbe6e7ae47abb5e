// images.test.ts runs this as a separate process and kills it during a pull: ROOT IMAGE.
import { join } from 'node:path';
import { ImageService } from '../../src/core/lifecycle/images/image-service.ts';
import { RootfsStores } from '../../src/core/lifecycle/rootfs-stores.ts';
import { ArchiveReader } from '../../src/integrations/oci/archive-reader.ts';
import { RegistryClient } from '../../src/integrations/oci/registry-client.ts';
import { systemClock } from '../../src/utils/time/system-clock.ts';
import { imageFilesBelow } from '../lib/image-files.ts';
import { recordsBelow } from '../lib/records-place.ts';
import { mountsOf, newStore, silent } from './images-fixture.ts';

const [, , root = '', image = ''] = process.argv;
const store = await newStore(join(root, 'overlay'));
const images = new ImageService({
  records: recordsBelow(root),
  files: imageFilesBelow(root),
  sources: [new RegistryClient({ logger: silent }), new ArchiveReader({ temporary: join(root, 'import') })],
  stores: new RootfsStores({ used: [store], logger: silent }),
  mounts: mountsOf(store),
  clock: systemClock,
  logger: silent,
});
await images.load();
await images.pull(image);
