// The import directions of the source rooms. Everyone may import core/model, core/logging and utils; only src/main.ts
// and what it is made of under src/compose wires. Type-only imports count like others unless a rule says otherwise.
const shared = '^(src/(core/(model|logging)|utils)|api/gen)/';

/** Modules of `room` may import their own room, `others`, the shared rooms and npm packages, and nothing else of ours. */
function only(name, room, others = []) {
  const own = others.map((path) => `^src/${path}(/|\\.ts$)`);
  return {
    name,
    severity: 'error',
    comment: `src/${room} may import ${['its own room', 'core/model', 'core/logging', 'utils', ...others].join(', ')}`,
    from: { path: `^src/${room}/` },
    to: { path: '^(src|test|api)/', pathNot: [`^src/${room}/`, shared, ...own] },
  };
}

/** Like {@link only} where `room` holds rooms that must not know each other either. */
function onlyOwnRoom(name, room, others = []) {
  return {
    name,
    severity: 'error',
    comment: `each room of src/${room} may import ${['core/model', 'core/logging', 'utils', ...others, 'itself'].join(', ')} and files beside the rooms`,
    from: { path: `^src/${room}/([^/]+)/` },
    to: {
      path: '^(src|test|api)/',
      pathNot: [`^src/${room}/$1/`, `^src/${room}/[^/]+\\.ts$`, shared, ...others.map((path) => `^src/${path}/`)],
    },
  };
}

module.exports = {
  forbidden: [
    {
      name: 'model-stands-alone',
      severity: 'error',
      comment: 'core/model imports itself, and types of Node.js',
      from: { path: '^src/core/model/' },
      to: { pathNot: ['^src/core/model/'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'model-knows-no-room',
      severity: 'error',
      from: { path: '^src/core/model/' },
      to: { path: '^(src|test)/', pathNot: '^src/core/model/' },
    },
    {
      name: 'utils-stand-alone',
      severity: 'error',
      comment: 'utils may import itself',
      from: { path: '^src/utils/' },
      to: { path: '^(src|test|api)/', pathNot: '^src/utils/' },
    },
    {
      name: 'wire-at-the-edge',
      severity: 'error',
      comment:
        'cri and cli speak gRPC, integrations/nri ttrpc; behind them nobody knows a generated message, nor its type',
      from: { path: '^src/', pathNot: ['^src/(cri|cli|integrations/nri)/'] },
      to: { path: '^api/gen/' },
    },
    only('host-stands-alone', 'host', ['core/state-layout']),
    only('logging-stands-alone', 'core/logging'),
    only('metrics-stand-alone', 'core/metrics'),
    only('config-stands-alone', 'core/config'),
    only('lifecycle-knows-ports-only', 'core/lifecycle', ['core/state-layout']),
    {
      name: 'lifecycle-touches-no-host',
      severity: 'error',
      comment:
        'what core/lifecycle does to a machine goes through the ports of core/model; the store of records is the one exception',
      from: { path: '^src/core/lifecycle/', pathNot: '^src/core/lifecycle/records/' },
      to: { path: ['^src/host/', '^src/utils/(fs|tar)/', '^(node:)?(fs|child_process|worker_threads)(/|$)'] },
    },
    {
      name: 'helper-starts-programs',
      severity: 'error',
      comment: 'a fork of Node.js holds all calls up; before there is a helper, the root directory is locked',
      from: {
        path: '^src/',
        pathNot: ['^src/cli/', '^src/host/(root-claim|native/helper|processes/with-streams)\\.ts$'],
      },
      to: { path: '^(node:)?child_process$' },
    },
    only('cri-knows-no-backend', 'cri', ['core/lifecycle', 'core/metrics', 'core/config']),
    only('cli-is-a-client', 'cli', ['core/config', 'core/state-layout', 'host']),
    onlyOwnRoom('backends-know-ports-only', 'backends', ['host']),
    onlyOwnRoom('integrations-know-ports-only', 'integrations', ['host']),
    {
      name: 'backends-share-ports-only',
      severity: 'error',
      comment: 'what lies beside the rooms of backends serves them and knows none; only the registry names them all',
      from: { path: '^src/backends/[^/]+\\.ts$', pathNot: '^src/backends/registry\\.ts$' },
      to: { path: '^(src|test|api)/', pathNot: ['^src/backends/[^/]+\\.ts$', '^src/host/', shared] },
    },
    {
      name: 'product-imports-no-test',
      severity: 'error',
      from: { path: '^(src|api)/' },
      to: { path: '^(test|deploy)/' },
    },
    {
      name: 'no-cycle',
      severity: 'error',
      comment:
        'types may refer to each other, and a module may be loaded later; what loads at once may not go in circles',
      from: { pathNot: '^api/gen/' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only', 'dynamic-import'] } },
    },
    {
      name: 'no-orphan',
      severity: 'error',
      comment: 'a module that nothing imports and that imports nothing',
      from: { orphan: true, path: '^src/', pathNot: '^src/main\\.ts$' },
      to: {},
    },
    {
      name: 'unresolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'undeclared-package',
      severity: 'error',
      comment: 'a package that package.json does not name',
      from: {},
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'product-needs-no-dev-package',
      severity: 'error',
      from: { path: '^(src|api)/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.js', '.cjs', '.mjs', '.json'],
      conditionNames: ['import', 'node', 'default', 'types'],
      exportsFields: ['exports'],
    },
  },
};
