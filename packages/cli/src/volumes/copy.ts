import { createReadStream, createWriteStream, type Stats, statSync } from 'node:fs'
import { mkdir, opendir, rename } from 'node:fs/promises'
import { basename, dirname, join, posix, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Volume, VolumeEntryStat } from 'e2b'
import { printablePath } from '../checkpoints/diff-lines.ts'
import { startProgress } from '../copy/progress.ts'
import { Failure } from '../failure.ts'
import { formatBytes } from '../output/size.ts'

/** As deep as the API lists at once. */
const MAX_DEPTH = 64
const NO_LIMIT_MS = 0

export interface CopyOptions {
  /** Skips files that the target has with this size already. */
  resume: boolean
}

/** Copies a file or directory into a volume. @returns the path of the copy */
export async function uploadTo(
  volume: Volume,
  source: string,
  target: string,
  options: CopyOptions,
): Promise<string> {
  const stats = statSync(source, { throwIfNoEntry: false })
  if (!stats) throw new Failure(`There is no ${resolve(source)}.`)
  const existing = await infoOf(volume, target)
  const path = existing?.type === 'directory' ? posix.join(target, basename(resolve(source))) : target
  if (stats.isDirectory()) await uploadDirectory(volume, source, path, options)
  else if (stats.isFile()) await uploadFile(volume, source, stats, path, options)
  else throw new Failure(`${resolve(source)} is neither a file nor a directory.`)
  return path
}

async function uploadDirectory(
  volume: Volume,
  source: string,
  target: string,
  options: CopyOptions,
): Promise<void> {
  await volume.makeDir(target, { force: true })
  for await (const entry of await opendir(source)) {
    const [from, to] = [join(source, entry.name), posix.join(target, entry.name)]
    if (entry.isDirectory()) await uploadDirectory(volume, from, to, options)
    else if (entry.isFile()) await uploadFile(volume, from, statSync(from), to, options)
    else process.stderr.write(`${from} is neither a file nor a directory, and is left out\n`)
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
  const progress = startProgress(`Copying ${basename(source)}`, stats.size)
  try {
    const content = Readable.toWeb(createReadStream(source)) as ReadableStream<Uint8Array>
    await volume.writeFile(target, content.pipeThrough(progress.track()), {
      force: true,
      mode: stats.mode & 0o777,
      requestTimeoutMs: NO_LIMIT_MS,
    })
    progress.done(`Copied ${basename(source)} (${formatBytes(stats.size)})`)
  } catch (error) {
    progress.failed()
    throw error
  }
}

/** Copies a file or directory out of a volume. @returns the path of the copy */
export async function downloadFrom(
  volume: Volume,
  source: string,
  target: string,
  options: CopyOptions,
): Promise<string> {
  const info = await infoOf(volume, source)
  if (!info) throw new Failure(`There is no ${source} in volume ${volume.name}.`)
  const isInto = statSync(target, { throwIfNoEntry: false })?.isDirectory() ?? false
  const path = isInto ? join(target, posix.basename(source) || volume.name) : target
  if (info.type === 'directory') await downloadDirectory(volume, info, path, options)
  else await downloadFile(volume, info, path, options)
  return path
}

async function downloadDirectory(
  volume: Volume,
  info: VolumeEntryStat,
  target: string,
  options: CopyOptions,
): Promise<void> {
  await mkdir(target, { recursive: true })
  for (const entry of await volume.list(info.path, { depth: MAX_DEPTH })) {
    const path = localPath(target, posix.relative(info.path, entry.path))
    if (entry.type === 'directory') await mkdir(path, { recursive: true })
    else if (entry.type === 'file') await downloadFile(volume, entry, path, options)
    else process.stderr.write(`${printablePath(entry.path)} is a ${entry.type}, and is left out\n`)
  }
}

/** Other users write names in a volume: none of them may lead out of the target. */
function localPath(target: string, relative: string): string {
  if (relative.split('/').includes('..'))
    throw new Failure(`The volume has a name that leads out of ${target}.`)
  return join(target, relative)
}

/** A download that broke off continues in its `.part` file, unless the file has changed since. */
async function downloadFile(
  volume: Volume,
  info: VolumeEntryStat,
  target: string,
  { resume }: CopyOptions,
): Promise<void> {
  if (resume && statSync(target, { throwIfNoEntry: false })?.size === info.size) return
  await mkdir(dirname(target), { recursive: true })
  const part = `${target}.${info.mtime.getTime()}-${info.size}.part`
  const have = statSync(part, { throwIfNoEntry: false })?.size ?? 0
  const progress = startProgress(`Copying ${printablePath(info.name)}`, info.size - have)
  try {
    if (have < info.size || info.size === 0) {
      const headers = have > 0 ? { Range: `bytes=${have}-` } : undefined
      const content = await volume.readFile(info.path, {
        format: 'stream',
        headers,
        requestTimeoutMs: NO_LIMIT_MS,
      })
      await pipeline(
        Readable.fromWeb(content.pipeThrough(progress.track()) as never),
        createWriteStream(part, { flags: 'a', mode: info.mode & 0o777 }),
      )
    }
    const size = statSync(part).size
    if (size !== info.size) throw new Failure(`${info.path} changed while it was copied: try again.`)
    await rename(part, target)
    progress.done(`Copied ${printablePath(info.name)} (${formatBytes(info.size)})`)
  } catch (error) {
    progress.failed()
    throw error
  }
}

async function infoOf(volume: Volume, path: string): Promise<VolumeEntryStat | undefined> {
  return (await volume.exists(path)) ? volume.getInfo(path) : undefined
}
