import { defineConfig } from 'tsdown'

/** One file with everything inside: the image has Node and nothing to install. */
export default defineConfig({
  entry: { 'mcp-gateway': 'src/main.ts' },
  format: 'esm',
  platform: 'node',
  target: 'node24',
  outDir: 'dist/bundle',
  dts: false,
  minify: true,
  banner: '#!/usr/bin/env node',
  deps: { alwaysBundle: [/.*/], onlyBundle: false },
  outputOptions: { codeSplitting: false },
})
