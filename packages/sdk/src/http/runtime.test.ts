import { expect, test } from 'vitest'
import { detectRuntime } from './runtime.ts'

const node = { process: { release: { name: 'node' }, versions: { node: '24.1.0' } } }

test.each([
  [node, 'node', '24.1.0'],
  [{ ...node, Bun: { version: '1.3.9' } }, 'bun', '1.3.9'],
  [{ ...node, Deno: { version: { deno: '2.5.0' } } }, 'deno', '2.5.0'],
  [{ ...node, EdgeRuntime: 'edge-runtime' }, 'vercel-edge', 'unknown'],
  [{ ...node, navigator: { userAgent: 'Cloudflare-Workers' } }, 'cloudflare-worker', 'unknown'],
  [{ ...node, document: {} }, 'node', '24.1.0'],
  [{ document: {}, navigator: { userAgent: 'Mozilla/5.0' } }, 'browser', 'Mozilla/5.0'],
  [{ importScripts: () => {}, navigator: { userAgent: 'Mozilla/5.0' } }, 'browser', 'Mozilla/5.0'],
  [{ process: {} }, 'unknown', 'unknown'],
])('%j is %s %s', (surroundings, runtime, version) => {
  expect(detectRuntime(surroundings)).toEqual({ runtime, version })
})
