// The arrows of the house (design.md): what each package may import, and nothing else of ours.
const mayImport = {
  protocol: [],
  linux: [],
  node: ['linux', 'protocol'],
  server: ['protocol'],
  certificates: ['protocol'],
  edge: ['protocol', 'certificates'],
  egress: ['protocol', 'certificates'],
  volumes: ['linux', 'protocol'],
  sdk: ['protocol'],
  cli: ['sdk', 'protocol'],
  mcp: ['sdk', 'protocol'],
  sandlot: ['node', 'server', 'edge', 'egress', 'volumes', 'mcp', 'protocol'],
}

/** The rooms of packages/node/src: what each one may import of the others. Files beside the rooms connect them. */
const nodeRooms = {
  builder: ['engine', 'guest', 'host', 'images', 'machines', 'packed', 'persistence'],
  diff: ['engine', 'host', 'machines', 'persistence', 'pool', 'pressure'],
  engine: ['host', 'machines'],
  guest: [],
  host: [],
  images: ['builder', 'host', 'machines', 'network', 'pool'],
  machines: ['engine', 'guest', 'host', 'network', 'pressure', 'volumes'],
  network: ['host', 'machines'],
  objects: ['host'],
  packed: ['host', 'objects'],
  persistence: ['builder', 'engine', 'guest', 'host', 'machines', 'objects', 'packed', 'pool', 'pressure', 'takeover', 'volumes'],
  pool: ['builder', 'machines', 'persistence', 'pressure', 'unlisted', 'volumes'],
  pressure: ['engine', 'machines', 'persistence'],
  takeover: ['host', 'objects', 'persistence'],
  'test-support': ['host', 'objects'],
  unlisted: ['host', 'machines', 'persistence'],
  volumes: ['guest', 'host', 'machines'],
}

const rooms = Object.entries(nodeRooms).map(([room, others]) => ({
  name: `node-room-${room}`,
  severity: 'error',
  from: { path: `^packages/node/src/${room}/`, pathNot: '\\.(test|fixture|contract)\\.ts$' },
  to: {
    path: '^packages/node/src/[^/]+/',
    pathNot: [room, ...others].map((other) => `^packages/node/src/${other}/`),
  },
}))

const arrows = Object.entries(mayImport).map(([name, others]) => ({
  name: `${name}-imports-only-${others.join('-and-') || 'nothing-of-ours'}`,
  severity: 'error',
  from: { path: `^packages/${name}/`, pathNot: '\\.test\\.ts$' },
  to: {
    path: '^packages/',
    pathNot: [name, ...others].map((other) => `^packages/${other}/`),
  },
}))

module.exports = {
  forbidden: [
    ...arrows,
    ...rooms,
    {
      name: 'server-and-its-tests-know-node-by-the-contract-only',
      severity: 'error',
      from: { path: '^packages/server/' },
      to: { path: '^packages/node/' },
    },
    {
      name: 'no-package-imports-tests',
      severity: 'error',
      from: { path: '^packages/' },
      to: { path: '^(tests|bench)/' },
    },
    // circles of types count too: they are what keeps a part from being taken out, e.g. across a wire
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(dist|gen)/' },
    // TypeScript 7 has no compiler API; swc reads the same syntax.
    parser: 'swc',
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['sandlot-source', 'import', 'node', 'default', 'types'] },
  },
}
