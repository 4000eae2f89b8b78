import type { ContextFile } from './context-files.ts'
import type { ContextModules } from './modules.ts'

/**
 * Computes the hash by which the server recognises the files of a COPY: SHA-256, in hex, of source and destination
 * and of each file's path, mode, size, and content or link target (wire spec, section 5.3). Contents are streamed.
 */
export async function filesHash(
  { crypto, fs }: ContextModules,
  src: string,
  dest: string,
  files: ContextFile[],
): Promise<string> {
  const hash = crypto.createHash('sha256').update(`COPY ${src} ${dest}`)
  for (const { path, absolutePath, stats } of files) {
    hash.update(path).update(String(stats.mode)).update(String(stats.size))
    if (stats.isSymbolicLink()) hash.update(await fs.promises.readlink(absolutePath))
    else if (stats.isFile()) for await (const chunk of fs.createReadStream(absolutePath)) hash.update(chunk)
  }
  return hash.digest('hex')
}
