import { TemplateError } from '../../errors.ts'
import { builtinModule } from '../../http/runtime.ts'

/**
 * Modules for reading, packing, and uploading files: those of Node, and the glob library. Loaded when they are
 * needed.
 */
export interface ContextModules extends NodeModules {
  picomatch: typeof import('picomatch')
}

interface NodeModules {
  crypto: typeof import('node:crypto')
  fs: typeof import('node:fs')
  os: typeof import('node:os')
  path: typeof import('node:path')
  stream: typeof import('node:stream')
  streams: typeof import('node:stream/promises')
  url: typeof import('node:url')
  zlib: typeof import('node:zlib')
}

/** @throws {@link TemplateError} in browsers and edge workers */
export async function contextModules(): Promise<ContextModules> {
  const node = nodeModules()
  return { ...node, picomatch: (await import('picomatch')).default }
}

function nodeModules(): NodeModules {
  const load = <Name extends keyof NodeModules>(name: string): NodeModules[Name] => {
    const module = builtinModule<NodeModules[Name]>(name)
    if (module) return module
    throw new TemplateError(
      'Copying files into a template needs Node.js 20.16, Bun 1.2, or Deno 2.1, or newer.',
    )
  }
  return {
    crypto: load<'crypto'>('node:crypto'),
    fs: load<'fs'>('node:fs'),
    os: load<'os'>('node:os'),
    path: load<'path'>('node:path'),
    stream: load<'stream'>('node:stream'),
    streams: load<'streams'>('node:stream/promises'),
    url: load<'url'>('node:url'),
    zlib: load<'zlib'>('node:zlib'),
  }
}
