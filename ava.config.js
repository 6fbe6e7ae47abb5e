export default {
  extensions: { ts: 'module' },
  files: ['test/unit/**/*.test.ts'],
  workerThreads: false,
};
