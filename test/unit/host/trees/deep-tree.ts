import { mkdir } from 'node:fs/promises';
import { run } from '../../../../src/host/processes/run.ts';

const SCRIPT = `
cd -P "$1" || exit 1
i=0
while [ $i -lt 200 ]; do
  mkdir "$2" && cd -P "$2" || exit 1
  i=$((i+1))
done
printf '%05000d' 0 >file
`;

/** Creates, below `path`, 200 nested directories with names of 32 letters, and a file of 5000 bytes in the last. */
export async function makeDeep(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  await run('sh', ['-c', SCRIPT, '-', path, 'd'.repeat(32)]);
}
