/** Runtime that the SDK runs on. Node-only features check for `node`; everything else uses web standards only. */
export type Runtime = 'node' | 'bun' | 'deno' | 'browser' | 'cloudflare-worker' | 'vercel-edge' | 'unknown'

interface Surroundings {
  process?: { versions?: { node?: string; bun?: string }; release?: { name?: string } }
  Bun?: { version?: string }
  Deno?: { version?: { deno?: string } }
  EdgeRuntime?: string
  navigator?: { userAgent?: string }
  document?: unknown
  importScripts?: unknown
}

/** Recognises the runtime by its documented globals. Bun and Deno also have `process`, so they are checked first. */
export function detectRuntime(surroundings: Surroundings = globalThis as Surroundings): {
  runtime: Runtime
  version: string
} {
  const { process, Bun, Deno, EdgeRuntime, navigator, document, importScripts } = surroundings
  if (Bun) return { runtime: 'bun', version: Bun.version ?? 'unknown' }
  if (Deno) return { runtime: 'deno', version: Deno.version?.deno ?? 'unknown' }
  if (EdgeRuntime) return { runtime: 'vercel-edge', version: 'unknown' }
  if (navigator?.userAgent === 'Cloudflare-Workers')
    return { runtime: 'cloudflare-worker', version: 'unknown' }
  // Electron's renderer and jsdom have the globals of Node and of browsers; Node's HTTP client is the better
  // choice there.
  if (process?.release?.name === 'node')
    return { runtime: 'node', version: process.versions?.node ?? 'unknown' }
  if (document !== undefined || importScripts !== undefined)
    return { runtime: 'browser', version: navigator?.userAgent ?? 'unknown' }
  return { runtime: 'unknown', version: 'unknown' }
}

export const { runtime, version: runtimeVersion } = detectRuntime()

interface NodeLike {
  env?: Record<string, string | undefined>
  platform?: string
  getBuiltinModule?: (name: string) => unknown
}
const nodeLike = (globalThis as { process?: NodeLike }).process

/** Value of an environment variable; undefined when it is not set or empty, and in browsers, which have none. */
export const environmentVariable = (name: string): string | undefined => {
  if (runtime === 'deno') {
    // Deno asks for permission by throwing
    try {
      return nodeLike?.env?.[name] || undefined
    } catch {
      return undefined
    }
  }
  return nodeLike?.env?.[name] || undefined
}

/**
 * Loads a module of Node without an import statement, which bundlers for browsers and edge workers would try to
 * resolve. Undefined where there is no such module (`process.getBuiltinModule`: Node 20.16, Bun 1.1.23, Deno 2.1).
 */
export const builtinModule = <Module>(name: string): Module | undefined =>
  nodeLike?.getBuiltinModule?.(name) as Module | undefined

/** The operating system in the API's words: `Linux`, `Darwin`, `Windows`, `unknown`. */
export function operatingSystem(): string {
  const names: Record<string, string> = { linux: 'Linux', darwin: 'Darwin', win32: 'Windows' }
  return names[nodeLike?.platform ?? ''] ?? 'unknown'
}
