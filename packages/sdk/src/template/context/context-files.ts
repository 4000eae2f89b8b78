import type { Stats } from 'node:fs'
import { TemplateError } from '../../errors.ts'
import { type IgnoreRules, ignoreRules, readIgnoreFile } from './ignore-rules.ts'
import type { ContextModules } from './modules.ts'

/** A file, directory, or symbolic link that a COPY step copies. */
export interface ContextFile {
  /** Relative to the context directory, with `/`; empty for the directory itself. */
  path: string
  absolutePath: string
  /** Stats of the link itself, unless links are resolved. */
  stats: Stats
}

/** Which files of the context directory are copied, and whether links are resolved. */
export interface Selection {
  contextDirectory: string
  /** Path or glob. */
  src: string
  ignore: IgnoreRules
  resolveSymlinks: boolean
}

/** Reads the patterns of `.dockerignore` in the context directory, if it exists, and adds those of the template. */
export async function contextIgnoreRules(
  modules: ContextModules,
  contextDirectory: string,
  patterns: string[],
): Promise<IgnoreRules> {
  const { fs, path } = modules
  const file = path.join(contextDirectory, '.dockerignore')
  const content = await fs.promises.readFile(file, 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  return ignoreRules(modules, [...readIgnoreFile(content), ...patterns])
}

/**
 * Lists the files of a source of COPY, including the content of directories, sorted by path.
 *
 * @throws {@link TemplateError} if there are none, or one that no archive can hold (sockets, devices)
 */
export async function contextFiles(modules: ContextModules, selection: Selection): Promise<ContextFile[]> {
  const found = new Map<string, ContextFile>()
  const reader = new ContextReader(modules, selection)
  for (const path of await reader.namedPaths()) await reader.collect(path, found, [])
  if (found.size === 0) {
    const { contextDirectory, src } = selection
    throw new TemplateError(`No files found in ${modules.path.join(contextDirectory, src)}`)
  }
  return [...found.values()].sort((a, b) => compare(a.absolutePath, b.absolutePath))
}

class ContextReader {
  private readonly modules: ContextModules
  private readonly selection: Selection

  constructor(modules: ContextModules, selection: Selection) {
    this.modules = modules
    this.selection = selection
  }

  /** Lists the paths that match the source itself, without their content. */
  async namedPaths(): Promise<string[]> {
    const {
      picomatch,
      path: { posix },
    } = this.modules
    const src = posix.normalize(this.selection.src).replace(/\/$/, '')
    const { base, isGlob } = picomatch.scan(src)
    if (!isGlob) return [src === '.' ? '' : src.replace(/\\(.)/g, '$1')]
    const paths: string[] = []
    const matches = picomatch(src, { dot: true })
    const levels = src.includes('**') ? Number.POSITIVE_INFINITY : src.slice(base.length).split('/').length
    await this.match(base, levels, matches, paths)
    if (!this.selection.src.endsWith('/')) return paths
    const stats = await Promise.all(paths.map((path) => this.stats(path)))
    return paths.filter((_, at) => stats[at]?.isDirectory())
  }

  /**
   * Adds a path and, if it is a directory, its content. Links to directories are followed only when links are
   * resolved.
   */
  async collect(path: string, found: Map<string, ContextFile>, realParents: string[]): Promise<void> {
    const isIgnored = path !== '' && this.selection.ignore.isIgnored(path)
    if (isIgnored && this.selection.ignore.canPrune) return
    const stats = await this.stats(path)
    if (!stats) return
    if (!isIgnored)
      found.set(path, { path, absolutePath: this.absolute(path), stats: expectPackable(path, stats) })
    if (!stats.isDirectory()) return

    const realPath = await this.modules.fs.promises.realpath(this.absolute(path))
    if (realParents.includes(realPath))
      throw new TemplateError(
        `"${path}" is a symbolic link to a directory that holds it: it cannot be resolved.`,
      )
    for (const name of await this.names(path))
      await this.collect(join(path, name), found, [...realParents, realPath])
  }

  private async match(
    directory: string,
    levels: number,
    matches: (path: string) => boolean,
    paths: string[],
  ): Promise<void> {
    if (directory !== '' && matches(directory)) paths.push(directory)
    if (levels === 0) return
    for (const entry of await this.entries(directory)) {
      const path = join(directory, entry.name)
      if (entry.isDirectory()) await this.match(path, levels - 1, matches, paths)
      else if (matches(path)) paths.push(path)
    }
  }

  private async names(directory: string): Promise<string[]> {
    return (await this.entries(directory)).map(({ name }) => name)
  }

  /** Lists the entries of a directory; empty for other paths. */
  private async entries(directory: string) {
    return this.modules.fs.promises
      .readdir(this.absolute(directory), { withFileTypes: true })
      .catch((error) => {
        if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return []
        throw error
      })
  }

  private async stats(path: string): Promise<Stats | undefined> {
    const { lstat, stat } = this.modules.fs.promises
    const link = await lstat(this.absolute(path)).catch((error) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
      throw error
    })
    // The context directory itself may be a link, which is always resolved.
    const isResolved = this.selection.resolveSymlinks || path === ''
    if (!link?.isSymbolicLink() || !isResolved) return link
    return stat(this.absolute(path)).catch((error) => {
      throw new TemplateError(`Cannot resolve the symbolic link "${path}": ${error.message}`)
    })
  }

  private absolute(path: string): string {
    return this.modules.path.join(this.selection.contextDirectory, path)
  }
}

function expectPackable(path: string, stats: Stats): Stats {
  if (stats.isFile() || stats.isDirectory() || stats.isSymbolicLink()) return stats
  throw new TemplateError(
    `Cannot copy "${path}": only files, directories, and symbolic links go into a template. Exclude it in .dockerignore.`,
  )
}

const join = (directory: string, name: string): string => (directory === '' ? name : `${directory}/${name}`)

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
