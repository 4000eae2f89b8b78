import { createWriteStream, mkdirSync, statSync } from 'node:fs'
import { chmod, rename, rm } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { EntryInfo } from 'e2b'
import { quote } from '../exec/command-line.ts'
import { Failure } from '../failure.ts'
import { formatBytes } from '../output/size.ts'
import { type Existing, landingPath, meansContent, remoteName } from './destination.ts'
import { startProgress } from './progress.ts'
import {
  asUser,
  type Remote,
  runInside,
  statRemote,
  TRANSFER_TIMEOUT_MS,
  withRemoteArchive,
} from './remote.ts'

/** The download fails after this time without data. */
const IDLE_TIMEOUT_MS = 60_000

/** Copies a file or directory from the sandbox. @returns the local path of the copy */
export async function download(remote: Remote, source: string, path: string): Promise<string> {
  const entry = await statRemote(remote, source)
  if (!entry) throw new Failure(`There is no ${source} in sandbox ${remote.sandbox.sandboxId}.`)
  const isDirectory = entry.type === 'dir'
  const named = meansContent(source) ? source : remoteName(source, entry.path)
  if (named === undefined)
    throw new Failure(`${source} gives no name for the copy. Copy its content by name instead.`)
  const target = landingPath({ path: named, isDirectory }, { path, existing: existingHere(path) })
  if (target === undefined) throw new Failure(`${resolve(path)} is a file; a directory cannot replace it.`)
  if (isDirectory) await downloadDirectory(remote, entry, resolve(target))
  else await downloadFile(remote, entry, resolve(target))
  return target
}

function existingHere(path: string): Existing {
  const stat = statSync(path, { throwIfNoEntry: false })
  return stat && (stat.isDirectory() ? 'directory' : 'file')
}

/** Writes a file by rename, so that an existing file stays until the new one is complete. */
async function downloadFile(remote: Remote, entry: EntryInfo, target: string): Promise<void> {
  mkdirSync(dirname(target), { recursive: true })
  const scratch = `${target}.${process.pid}.part`
  try {
    await receive(remote, entry.path, entry.size, basename(target), (stream) =>
      pipeline(stream, createWriteStream(scratch, { flags: 'wx' })),
    )
    await chmod(scratch, entry.mode & 0o777)
    await rename(scratch, target)
  } catch (error) {
    await rm(scratch, { force: true })
    throw error
  }
}

async function downloadDirectory(remote: Remote, entry: EntryInfo, target: string): Promise<void> {
  const tar = await import('tar')
  mkdirSync(target, { recursive: true })
  await withRemoteArchive(remote, async (archive) => {
    await runInside(remote, `tar -cf ${quote(archive)} -C ${quote(entry.path)} .`)
    const { size } = await remote.sandbox.files.getInfo(archive, asUser(remote))
    // tar refuses absolute names, names with `..` and writing through links, as the archive is not trusted.
    await receive(remote, archive, size, basename(target), (stream) =>
      pipeline(stream, tar.extract({ cwd: target, preserveOwner: false, strict: true })),
    )
  })
}

async function receive(
  remote: Remote,
  path: string,
  sizeBytes: number,
  name: string,
  write: (stream: Readable) => Promise<void>,
): Promise<void> {
  const progress = startProgress(`Copying ${name}`, sizeBytes)
  try {
    const stream = await remote.sandbox.files.read(path, {
      ...asUser(remote),
      format: 'stream',
      requestTimeoutMs: TRANSFER_TIMEOUT_MS,
      streamIdleTimeoutMs: IDLE_TIMEOUT_MS,
    })
    await write(
      Readable.fromWeb(stream.pipeThrough(progress.track()) as Parameters<typeof Readable.fromWeb>[0]),
    )
    progress.done(`Copied ${name} (${formatBytes(sizeBytes)})`)
  } catch (error) {
    progress.failed()
    throw error
  }
}
