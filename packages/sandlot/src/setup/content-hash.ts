import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Returns twelve hex characters that change with the content and names of these files and the seed (versions of tools,
 * the platform).
 * @param files paths below `folder`
 */
export async function contentHash(folder: string, files: readonly string[], seed: string): Promise<string> {
  const hash = createHash('sha256').update(seed)
  for (const file of files.toSorted()) {
    const content = await readFile(join(folder, file))
    hash.update(`${file}\n${content.length}\n`).update(content)
  }
  return hash.digest('hex').slice(0, 12)
}
