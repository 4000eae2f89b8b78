import { lstat, readlink } from 'node:fs/promises'
import { join } from 'node:path'

const MAX_LINKS = 40

/**
 * Where `path` lies on the host when `root` is taken for `/`: links are followed as they would be from inside, so
 * that no image can reach out of its folder. The last component is followed unless `isLinkItself`.
 */
export async function pathInRoot(
  root: string,
  path: string,
  { isLinkItself = false }: { isLinkItself?: boolean } = {},
): Promise<string> {
  const todo = path.split('/')
  const done: string[] = []
  let links = 0
  while (todo.length > 0) {
    const part = todo.shift()!
    if (part === '' || part === '.') continue
    if (part === '..') {
      done.pop()
      continue
    }
    done.push(part)
    if (isLinkItself && todo.every((rest) => rest === '')) break
    const here = join(root, ...done)
    const entry = await lstat(here).catch(() => undefined)
    if (!entry?.isSymbolicLink()) continue
    if (++links > MAX_LINKS) throw new Error(`${path} has too many links`)
    const target = await readlink(here)
    done.pop()
    if (target.startsWith('/')) done.length = 0
    todo.unshift(...target.split('/'))
  }
  return join(root, ...done)
}
