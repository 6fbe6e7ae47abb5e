// Which of these run is said on the command line; `test/run` does it.
export default {
  extensions: { ts: 'module' },
  files: ['test/guest/**/*.test.ts', 'test/unit/**/*.test.ts', 'test/integration/**/*.test.ts'],
  timeout: '2m',
  workerThreads: false,
};
