import { createReadStream, type Stats, statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { quote } from '../exec/command-line.ts'
import { Failure } from '../failure.ts'
import { formatBytes } from '../output/size.ts'
import { landingPath } from './destination.ts'
import { startProgress } from './progress.ts'
import {
  asUser,
  existingOf,
  type Remote,
  runInside,
  statRemote,
  TRANSFER_TIMEOUT_MS,
  withRemoteArchive,
} from './remote.ts'

/** Copies a local file or directory into the sandbox. @returns the path of the copy */
export async function upload(source: string, remote: Remote, path: string): Promise<string> {
  const stat = statSync(source, { throwIfNoEntry: false })
  if (!stat) throw new Failure(`There is no ${resolve(source)}.`)
  const existing = existingOf(await statRemote(remote, path))
  // `.` has the name of the current directory.
  const named = /(^|\/)\.\.?\/?$/.test(source) ? source : resolve(source)
  const target = landingPath({ path: named, isDirectory: stat.isDirectory() }, { path, existing })
  if (target === undefined) throw new Failure(`${path} is a file; a directory cannot replace it.`)
  if (stat.isDirectory()) await uploadDirectory(source, remote, target)
  else await uploadFile(source, stat, remote, target)
  return target
}

async function uploadFile(source: string, stat: Stats, remote: Remote, target: string): Promise<void> {
  if (!stat.isFile()) throw new Failure(`${resolve(source)} is neither a file nor a directory.`)
  const stream = Readable.toWeb(createReadStream(source)) as ReadableStream<Uint8Array>
  await send(stream, stat.size, basename(source), remote, target)
  // Uploaded files are not executable, so the permission of scripts and programs is restored.
  if (stat.mode & 0o111)
    await runInside(
      remote,
      `chmod ${(stat.mode & 0o777).toString(8)} ${quote(await absolute(remote, target))}`,
    )
}

async function uploadDirectory(source: string, remote: Remote, target: string): Promise<void> {
  const tar = await import('tar')
  await remote.sandbox.files.makeDir(target, asUser(remote))
  const directory = await absolute(remote, target)
  await withRemoteArchive(remote, async (archive) => {
    const packed = tar.create({ cwd: source }, ['.'])
    const stream = Readable.toWeb(Readable.from(packed)) as ReadableStream<Uint8Array>
    await send(stream, await sizeOf(source), basename(resolve(source)), remote, archive)
    await runInside(remote, `tar -xpof ${quote(archive)} -C ${quote(directory)}`)
  })
}

async function send(
  stream: ReadableStream<Uint8Array>,
  sizeBytes: number,
  name: string,
  remote: Remote,
  target: string,
): Promise<void> {
  const progress = startProgress(`Copying ${name}`, sizeBytes)
  try {
    await remote.sandbox.files.write(target, stream.pipeThrough(progress.track()), {
      ...asUser(remote),
      useOctetStream: true,
      requestTimeoutMs: TRANSFER_TIMEOUT_MS,
    })
    progress.done(`Copied ${name} (${formatBytes(sizeBytes)})`)
  } catch (error) {
    progress.failed()
    throw error
  }
}

/** Resolves a path relative to the user's home directory in the sandbox. */
async function absolute(remote: Remote, path: string): Promise<string> {
  return (await remote.sandbox.files.getInfo(path, asUser(remote))).path
}

/** Bytes of all files below a directory, for the progress bar. */
async function sizeOf(directory: string): Promise<number> {
  const { opendir, lstat } = await import('node:fs/promises')
  let sizeBytes = 0
  for await (const entry of await opendir(directory, { recursive: true })) {
    if (entry.isFile()) sizeBytes += (await lstat(`${entry.parentPath}/${entry.name}`)).size
  }
  return sizeBytes
}
