import { defineConfig } from 'tsdown'

export default defineConfig({
  entry: 'src/index.ts',
  format: ['esm', 'cjs'],
  platform: 'neutral',
  target: 'node20.18',
  dts: true,
  sourcemap: true,
  fixedExtension: false,
  // its CommonJS build has `default` as a property, which `require` in Node does not unwrap
  deps: { alwaysBundle: ['openapi-fetch'] },
  // a default export beside named ones, as users of the official package import either
  outputOptions: { exports: 'named' },
})
