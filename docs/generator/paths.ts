import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const FOLDERS = 'packages|tests|bench|examples|templates|guest|docs|\\.github|\\.ci'
/** A path from the top of the repository: `packages/node/src/{a,b}.ts`, `docs/adr/0004`, `tests/hostile`. */
const PATH = new RegExp(`(?<![\\w/.-])(?:${FOLDERS})/[\\w./{},*-]*`, 'g')
const LINK = /\]\(([^)\s#]+)(?:#[^)]*)?\)/g

/** Pages whose paths must lead somewhere. */
export const pagesWithPaths = (): string[] =>
  globSync(['*.md', 'docs/**/*.md', '{bench,examples,templates,guest}/**/README.md', '.github/**/*.md'], {
    cwd: root,
    exclude: (name) => name.includes('node_modules'),
  }).sort()

/** Lists the paths and links of a page behind which there is nothing. @param page from the top of the repository */
export function missingPathsIn(page: string): string[] {
  const text = readFileSync(join(root, page), 'utf8')
  const paths = [...text.matchAll(PATH)].map(([path]) => path)
  const links = [...text.matchAll(LINK)]
    .map(([, target]) => target!)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => join(dirname(page), target))
  return [...paths.filter((path) => !exists(path)), ...links.filter((link) => !existsSync(join(root, link)))]
}

/**
 * Lists file names in backticks that a package's README mentions and that no file has. A README names files by the end of
 * their path, `pool/warm-pool.ts` or `warm-pool.ts`.
 */
export function missingFilesIn(page: string): string[] {
  const text = readFileSync(join(root, page), 'utf8')
  const named = [...text.matchAll(/`([\w./{},-]+\.(?:ts|mjs))`/g)].flatMap(([, name]) => expand(name!))
  return named.filter((name) => !allFiles.some((file) => file === name || file.endsWith(`/${name}`)))
}

const allFiles = globSync(['*.mjs', '{packages,guest,templates,tests,bench,examples}/**/*.{ts,mjs}'], {
  cwd: root,
  exclude: (name) => /(^|\/)(node_modules|dist)$/.test(name),
})

/** Braces and stars are expanded; `docs/adr/0004` stands for the decision of that number. */
function exists(written: string): boolean {
  const path = written.replace(/[.,{-]+$/, '')
  if (/(^|\/)dist(\/|$)/.test(path)) return true
  if (/^docs\/adr\/\d{4}$/.test(path)) return globSync(`${path}-*.md`, { cwd: root }).length === 1
  return expand(path).every((one) =>
    one.includes('*') ? globSync(one, { cwd: root }).length > 0 : existsSync(join(root, one)),
  )
}

/** `a/{b,c}.ts` is two paths: all of them must exist, while a glob is content with one. */
function expand(path: string): string[] {
  const [whole, alternatives] = /\{([^}]*)\}/.exec(path) ?? []
  if (whole === undefined) return [path]
  return alternatives!.split(',').flatMap((one) => expand(path.replace(whole, one)))
}
