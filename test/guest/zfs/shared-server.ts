import { Faults, FAULTY_PROGRAM } from '../../integration/walk-faults.ts';
import { type Owner, ServerFixture } from '../../integration/server-fixture.ts';
import { TANK, zfs } from './pools.ts';

/** The dataset of the shared server. Its name is long: those of fault points end after 100 characters, before a time. */
export const DATASET = `${TANK}/dataset-of-the-shared-server`;

export interface Shared {
  server: ServerFixture;
  faults: Faults;
}

let shared: Promise<Shared> | undefined;

/** One server with fault points and a quota of 4 MiB for the tests of several files, the last of which destroys it. */
export function sharedServer({ log }: Owner): Promise<Shared> {
  const make = async () => {
    await zfs.createFilesystem(DATASET);
    const owner: Owner = { teardown: () => undefined, log, passed: true };
    const configuration = `[rootfs]\ndataset = "${DATASET}"\nquota_bytes = 4194304\n`;
    const server = await ServerFixture.make(owner, configuration, { program: FAULTY_PROGRAM });
    return { server, faults: new Faults(server.directory) };
  };
  shared ??= make();
  return shared;
}
