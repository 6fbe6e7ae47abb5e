// Which of these run is said on the command line; `test/run` does it.
export default {
  extensions: { ts: 'module' },
  files: ['test/guest/**/*.test.ts', 'test/unit/**/*.test.ts', 'test/integration/**/*.test.ts', 'test/node/*.test.ts'],
  // Properties are tried on the same values in each run; PROPERTY_SEED=N tries others.
  require: ['./test/lib/native.ts', './test/lib/property-seed.ts', './test/lib/seconds.ts'],
  // Without any result for so long, the file hangs: many times what its longest test takes.
  timeout: '30m',
  workerThreads: false,
};
