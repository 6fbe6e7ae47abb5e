import { resolve } from 'node:path';

const SOURCES = {
  main: 'src/main.ts',
  /** With fault points at its edges. */
  faults: 'test/fixtures/faults/main.ts',
  /** With a further handler. */
  handler: 'test/fixtures/handler/main.ts',
};

/** The file that Node.js runs: of the bundle that test/run makes, or the source where there is none. */
export function programFile(name: keyof typeof SOURCES): string {
  const bundle = process.env['PROXMOX_LXCRI_TEST_BUNDLE'];
  return bundle ? resolve(bundle, `${name}.js`) : resolve(SOURCES[name]);
}
