import { TemplateError } from '../errors.ts'
import { builtinModule } from '../http/runtime.ts'

type Fs = typeof import('node:fs')
type Path = typeof import('node:path')

/** The text of a file, or undefined if there is none of that name (or no file system). */
export function readTextIfFile(path: string): string | undefined {
  const fs = builtinModule<Fs>('node:fs')
  if (!fs || path === '') return undefined
  try {
    if (!fs.statSync(path).isFile()) return undefined
  } catch {
    // no such file, or no possible name of one
    return undefined
  }
  return fs.readFileSync(path, 'utf8')
}

/** The text of a file of the context directory. Throws what the file system says if it cannot be read. */
export function readTextOfFile(directory: string, path: string): string {
  const fs = builtinModule<Fs>('node:fs')
  const { resolve } = builtinModule<Path>('node:path') ?? {}
  if (!fs || !resolve)
    throw new TemplateError(`Cannot read ${path}: this runtime has no file system. Pass the content instead.`)
  return fs.readFileSync(resolve(directory, path), 'utf8')
}
