import { createHash } from 'node:crypto'
import { createWriteStream, type Stats } from 'node:fs'
import { chmod, mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, posix } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Volume, VolumeEntryStat } from 'e2b'
import { printablePath } from '../checkpoints/diff-lines.ts'
import { startProgress } from '../copy/progress.ts'
import { Failure } from '../failure.ts'
import { formatBytes } from '../output/size.ts'
import { localPath } from './file-names.ts'
import { type CopyOptions, NO_LIMIT_MS, sayContinues } from './transfer.ts'

/** Lets this command write into a folder, whatever mode the folder gets at the end. */
const OWNER_MAY_ALL = 0o700

/** Copies a file or directory out of a volume. @returns the path of the copy */
export async function downloadFrom(
  volume: Volume,
  source: string,
  target: string,
  options: CopyOptions,
): Promise<string> {
  if (!(await volume.exists(source))) throw new Failure(`There is no ${source} in volume ${volume.name}.`)
  const info = await volume.getInfo(source)
  const isInto = (await statOf(target))?.isDirectory() ?? false
  const path = isInto ? join(target, posix.basename(source) || volume.name) : target
  if (info.type === 'directory') await downloadDirectory(volume, info, path, options)
  else if (info.type === 'file') await downloadFile(volume, info, path, options)
  else throw new Failure(`${source} is a ${info.type}: only files and directories can be copied.`)
  return path
}

async function downloadDirectory(
  volume: Volume,
  info: VolumeEntryStat,
  target: string,
  options: CopyOptions,
): Promise<void> {
  const isNew =
    (await mkdir(localPath(target), { recursive: true, mode: info.mode | OWNER_MAY_ALL })) !== undefined
  for (const entry of await volume.list(info.path)) {
    const path = join(target, nameIn(target, entry))
    if (entry.type === 'directory') await downloadDirectory(volume, entry, path, options)
    else if (entry.type === 'file') await downloadFile(volume, entry, path, options)
    else process.stderr.write(`${printablePath(entry.path)} is a ${entry.type}, and is left out\n`)
  }
  const lacks = OWNER_MAY_ALL & ~info.mode
  if (isNew && lacks !== 0) await chmod(localPath(target), info.mode & 0o777)
}

/** Other users write names in a volume: none of them may lead out of the target. */
function nameIn(target: string, { name }: VolumeEntryStat): string {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name))
    throw new Failure(`The volume has a name that leads out of ${target}.`)
  return name
}

/** A download that broke off continues in its `.part` file, unless the file has changed since. */
async function downloadFile(
  volume: Volume,
  info: VolumeEntryStat,
  target: string,
  { resume }: CopyOptions,
): Promise<void> {
  if (resume && (await statOf(target))?.size === info.size) return
  await mkdir(localPath(dirname(target)), { recursive: true })
  const part = localPath(join(dirname(target), partName(info, target)))
  let have = (await statOf(part))?.size ?? 0
  if (have > info.size) {
    await rm(part)
    have = 0
  }
  const label = printablePath(info.name)
  const progress = startProgress(`Copying ${label}`, info.size - have)
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
        createWriteStream(part, { flags: 'a', mode: (info.mode & 0o777) | 0o200 }),
      )
    }
    const { size, mode } = (await statOf(part))!
    if (size !== info.size)
      throw new Failure(`${printablePath(info.path)} changed while it was copied: try again.`)
    if ((info.mode & 0o200) === 0) await chmod(part, mode & 0o577)
    await rename(part, localPath(target))
    progress.done(`Copied ${label} (${formatBytes(info.size)})`)
  } catch (error) {
    progress.failed()
    if (!(error instanceof Failure)) sayContinues(label)
    throw error
  }
}

/** A name for one state of a file, short enough beside any other. */
function partName({ path, mtime, size }: VolumeEntryStat, target: string): string {
  const state = [path, mtime.getTime(), size, target].join('\0')
  return `.e2b-${createHash('sha256').update(state).digest('hex').slice(0, 24)}.part`
}

const statOf = (path: string | Buffer): Promise<Stats | undefined> =>
  stat(typeof path === 'string' ? localPath(path) : path).catch(() => undefined)
