import { defineConfig } from 'tsdown'

/** One file with everything inside: `npx` has nothing else to fetch. */
export default defineConfig({
  entry: { main: 'src/main.ts' },
  format: 'esm',
  platform: 'node',
  target: 'node20.18',
  outDir: 'dist',
  dts: false,
  minify: true,
  deps: { alwaysBundle: [/.*/], onlyBundle: false },
})
