import { createHash } from 'node:crypto'
import { createReadStream, type Stats } from 'node:fs'
import { lstat, opendir, stat } from 'node:fs/promises'
import { basename, join, posix, resolve } from 'node:path'
import { Readable } from 'node:stream'
import type { Volume, VolumeEntryStat } from 'e2b'
import { printablePath } from '../checkpoints/diff-lines.ts'
import { startProgress } from '../copy/progress.ts'
import { Failure } from '../failure.ts'
import { formatBytes } from '../output/size.ts'
import { localPath, nameOf } from './file-names.ts'
import { type CopyOptions, NO_LIMIT_MS, sayContinues } from './transfer.ts'

/** Files from this size on continue where an upload broke off; smaller ones begin again. */
const CONTINUED_BYTES = 8 * 2 ** 20

/** Copies a file or directory into a volume. @returns the path of the copy */
export async function uploadTo(
  volume: Volume,
  source: string,
  target: string,
  options: CopyOptions,
): Promise<string> {
  const stats = await stat(source).catch(() => undefined)
  if (!stats) throw new Failure(`There is no ${resolve(source)}.`)
  const existing = await infoOf(volume, target)
  const path = existing?.type === 'directory' ? posix.join(target, basename(resolve(source))) : target
  if (stats.isDirectory()) await uploadDirectory(volume, source, stats, path, options)
  else if (stats.isFile()) await uploadFile(volume, source, stats, path, options)
  else throw new Failure(`${resolve(source)} is neither a file nor a directory.`)
  return path
}

async function uploadDirectory(
  volume: Volume,
  source: string,
  { mode }: Stats,
  target: string,
  options: CopyOptions,
): Promise<void> {
  await volume.makeDir(target, { force: true, mode: mode & 0o777 })
  for await (const entry of await opendir(localPath(source), { encoding: 'buffer' as BufferEncoding })) {
    const name = nameOf(entry.name as unknown as Buffer)
    const [from, to] = [join(source, name), posix.join(target, name)]
    const stats = await lstat(localPath(from))
    if (stats.isDirectory()) await uploadDirectory(volume, from, stats, to, options)
    else if (stats.isFile()) await uploadFile(volume, from, stats, to, options)
    else
      process.stderr.write(
        `${printablePath(from)} is a ${stats.isSymbolicLink() ? 'symbolic link' : 'special file'}, and is left out\n`,
      )
  }
}

async function uploadFile(
  volume: Volume,
  source: string,
  stats: Stats,
  target: string,
  { resume }: CopyOptions,
): Promise<void> {
  if (resume && (await infoOf(volume, target))?.size === stats.size) return
  const upload = await uploadOf(volume, stats, target)
  const label = printablePath(basename(source))
  const progress = startProgress(`Copying ${label}`, stats.size - (upload?.offset ?? 0))
  try {
    const bytes = createReadStream(localPath(source), { start: upload?.offset })
    const content = Readable.toWeb(bytes) as ReadableStream<Uint8Array>
    await volume.writeFile(target, content.pipeThrough(progress.track()), {
      force: true,
      mode: stats.mode & 0o777,
      requestTimeoutMs: NO_LIMIT_MS,
      upload,
    })
    progress.done(`Copied ${label} (${formatBytes(stats.size)})`)
  } catch (error) {
    progress.failed()
    if (upload) sayContinues(label)
    throw error
  }
}

/** Finds what an earlier command has sent of this file. Undefined: it is sent from its beginning. */
async function uploadOf(volume: Volume, { dev, ino, mtimeMs, size }: Stats, target: string) {
  if (size < CONTINUED_BYTES) return undefined
  // another file, or one that has changed, gets another id
  const id = createHash('sha256')
    .update([target, dev, ino, mtimeMs, size].join('\0'))
    .digest('hex')
    .slice(0, 32)
  try {
    return { id, offset: await volume.uploadedBytes(id), size }
  } catch (error) {
    // another server than a Sandlot
    if (error instanceof Error && error.name === 'VolumePathNotFoundError') return undefined
    throw error
  }
}

async function infoOf(volume: Volume, path: string): Promise<VolumeEntryStat | undefined> {
  return (await volume.exists(path)) ? volume.getInfo(path) : undefined
}
