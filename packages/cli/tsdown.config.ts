import { defineConfig } from 'tsdown'

/** One small entry and a file for each command that is read when it is asked for; everything is inside, nothing to install. */
export default defineConfig({
  entry: { main: 'src/main.ts' },
  format: 'esm',
  platform: 'node',
  target: 'node20.18',
  outDir: 'dist',
  dts: false,
  minify: true,
  deps: { alwaysBundle: [/.*/], onlyBundle: false },
  // The SDK from its sources: what is not used of it stays out.
  inputOptions: { resolve: { conditionNames: ['sandlot-source', 'import', 'node', 'default'] } },
})
