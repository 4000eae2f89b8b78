import type { ContextFile } from './context-files.ts'
import type { ContextModules } from './modules.ts'

/** A tar file on disk: its size must be known before it is sent, and it may be larger than memory. */
export interface Archive {
  path: string
  remove(): Promise<void>
}

/**
 * Packs files for the builder: names are relative to the context directory, owner is root. A directory is packed
 * without its content, which `files` lists separately.
 *
 * @param gzip whether to compress
 */
export async function packArchive(
  modules: ContextModules,
  files: ContextFile[],
  gzip: boolean,
): Promise<Archive> {
  const { fs, os, path, stream, streams, zlib } = modules
  const { createTarPacker } = await import('modern-tar')
  const directory = await fs.promises.mkdtemp(path.join(os.tmpdir(), 'e2b-template-'))
  const archive: Archive = {
    path: path.join(directory, gzip ? 'files.tar.gz' : 'files.tar'),
    remove: () => fs.promises.rm(directory, { recursive: true, force: true }),
  }
  const { readable, controller } = createTarPacker()
  const packing = pack().catch((error) => {
    controller.error(error)
    throw error
  })
  const source = stream.Readable.fromWeb(readable as Parameters<typeof stream.Readable.fromWeb>[0])
  const target = fs.createWriteStream(archive.path, { mode: 0o600 })
  const writing = gzip
    ? streams.pipeline(source, zlib.createGzip(), target)
    : streams.pipeline(source, target)
  const [packed, written] = await Promise.allSettled([packing, writing])
  const failed = [packed, written].find((outcome) => outcome.status === 'rejected')
  if (!failed) return archive
  await archive.remove()
  throw failed.reason

  async function pack(): Promise<void> {
    for (const file of files) await addEntry(file)
    controller.finalize()
  }

  async function addEntry({ path: name, absolutePath, stats }: ContextFile): Promise<void> {
    const common = { mode: stats.mode & 0o7777, mtime: stats.mtime, uid: 0, gid: 0, uname: '', gname: '' }
    if (stats.isDirectory())
      return controller.add({ ...common, name: `${name || '.'}/`, type: 'directory', size: 0 }).close()
    if (stats.isSymbolicLink()) {
      const linkname = await fs.promises.readlink(absolutePath)
      return controller.add({ ...common, name, type: 'symlink', linkname, size: 0 }).close()
    }
    const body = controller.add({ ...common, name, type: 'file', size: stats.size })
    await streams.pipeline(fs.createReadStream(absolutePath), stream.Writable.fromWeb(body as never))
  }
}
