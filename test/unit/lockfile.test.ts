import { readFile } from 'node:fs/promises';
import test from 'ava';
import { z } from 'zod';

const lock = z
  .object({
    packages: z.record(z.string(), z.object({ optionalDependencies: z.record(z.string(), z.string()).optional() })),
  })
  .parse(JSON.parse(await readFile('package-lock.json', 'utf8')));

test('the lock file has the packages of every platform', (t) => {
  const missing = Object.entries(lock.packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) => !(`${path}/node_modules/${name}` in lock.packages) && !(`node_modules/${name}` in lock.packages),
    ),
  );
  t.deepEqual(missing, [], 'npm install --package-lock-only adds them');
});
