import type { Dir } from 'node:fs'
import { opendir } from 'node:fs/promises'
import type { VolumeEntry } from '@sandlot/protocol/node'
import { codeOf } from '../errors.ts'
import { pathOf } from '../linux/system-calls.ts'
import { closeDescriptor, openChildFolder } from './descriptors.ts'
import { entryIn } from './entry.ts'
import type { VolumePath } from './volume-path.ts'

/** Entries that are read at a time, so that a folder of any size needs little memory. */
const BATCH = 128

interface OpenFolder {
  descriptor: number
  entries: AsyncIterator<Buffer[]>
  path: VolumePath
}

/**
 * Lists an open folder and those below it down to `depth` levels, in batches. One folder of each level is open. Entries
 * that vanish meanwhile are left out, and links are listed, not followed. The first batch is empty.
 * @param descriptor closed at the end
 */
export async function* listTree(
  descriptor: number,
  path: VolumePath,
  depth: number,
): AsyncGenerator<VolumeEntry[]> {
  const open: OpenFolder[] = [{ descriptor, entries: namesIn(descriptor), path }]
  /** Folders that were listed, and are still to be read: for each open folder those of its last batch. */
  const pending: VolumePath[][] = [[]]
  try {
    yield []
    while (open.length > 0) {
      const folder = open.at(-1)!
      const next = pending.at(-1)!.pop()
      if (next) {
        const child = await openIfThere(folder.descriptor, next.name)
        if (child === undefined) continue
        open.push({ descriptor: child, entries: namesIn(child), path: next })
        pending.push([])
        continue
      }
      const { value: names, done } = await folder.entries.next()
      if (done) {
        pending.pop()
        await closeDescriptor(open.pop()!.descriptor)
        continue
      }
      const entries = await describe(folder, names)
      if (open.length < depth) pending.at(-1)!.push(...entries.filter(isFolder).map(({ path }) => path))
      if (entries.length > 0) yield entries.map(({ entry }) => entry)
    }
  } finally {
    for (const folder of open) {
      await folder.entries.return?.()
      await closeDescriptor(folder.descriptor)
    }
  }
}

interface Described {
  entry: VolumeEntry
  path: VolumePath
}

const isFolder = ({ entry }: Described): boolean => entry.type === 'directory'

async function describe(folder: OpenFolder, names: Buffer[]): Promise<Described[]> {
  const described = await Promise.all(
    names.map(async (name) => {
      const path = folder.path.child(name)
      const entry = await ifThere(entryIn(folder.descriptor, path))
      return entry && { entry, path }
    }),
  )
  return described.filter((entry) => entry !== undefined)
}

/** Names in an open folder, in batches. */
export async function* namesIn(descriptor: number): AsyncGenerator<Buffer[]> {
  // Node's types do not know that names are Buffers with this encoding
  const options = { encoding: 'buffer' as BufferEncoding, bufferSize: BATCH }
  const folder: Dir = await opendir(pathOf(descriptor), options)
  let batch: Buffer[] = []
  for await (const { name } of folder) {
    batch.push(name as unknown as Buffer)
    if (batch.length < BATCH) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

const openIfThere = (parent: number, name: Buffer): Promise<number | undefined> =>
  ifThere(openChildFolder(parent, name))

/** undefined for an entry that has vanished or has become something else. */
async function ifThere<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'EXDEV'].includes(codeOf(error) ?? '')) return undefined
    throw error
  }
}
