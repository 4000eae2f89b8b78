// The arrows of the house (design.md): what each package may import, and nothing else of ours.
const mayImport = {
  protocol: [],
  node: ['protocol'],
  server: ['protocol'],
  edge: ['protocol'],
  egress: ['protocol'],
  sdk: ['protocol'],
  cli: ['sdk', 'protocol'],
  dashboard: ['protocol'],
}

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
      from: { pathNot: '^packages/(edge|sdk)/' },
      to: { circular: true },
    },
    // pairs of files there name each other's types
    {
      name: 'no-cycles-but-of-types',
      severity: 'error',
      from: { path: '^packages/(edge|sdk)/' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
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
