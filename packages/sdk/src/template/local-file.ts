import { TemplateError } from '../errors.ts'
import { builtinModule } from '../http/runtime.ts'

type Fs = typeof import('node:fs')
type Path = typeof import('node:path')

/** Reads a text file; undefined if there is no file of that name, or no file system. */
export function readTextIfFile(path: string): string | undefined {
  const fs = builtinModule<Fs>('node:fs')
  if (!fs || path === '') return undefined
  try {
    if (!fs.statSync(path).isFile()) return undefined
  } catch {
    // there is no such file, or the text cannot be a file name
    return undefined
  }
  return fs.readFileSync(path, 'utf8')
}

/** Reads a text file of the context directory. Throws the error of the file system if the file cannot be read. */
export function readTextOfFile(directory: string, path: string): string {
  const fs = builtinModule<Fs>('node:fs')
  const { resolve } = builtinModule<Path>('node:path') ?? {}
  if (!fs || !resolve)
    throw new TemplateError(`Cannot read ${path}: this runtime has no file system. Pass the content instead.`)
  return fs.readFileSync(resolve(directory, path), 'utf8')
}
