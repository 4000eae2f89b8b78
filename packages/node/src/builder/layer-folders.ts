import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { removeUnfinished, WRITING_PREFIX, writeAtomically } from '../host/atomic-writes.ts'
import { run } from '../host/run.ts'

const META = 'layer.json'
const COPY_TIMEOUT_MS = 10 * 60_000

/** Metadata of a layer. */
export interface LayerMeta {
  /** Image below the layer. */
  imagePath: string
  /** Id of its packed copy, which may be pending; absent for folders outside of the home's layers. */
  packedId?: string
  /** Data of the code that created the layer. */
  note?: string
}

export interface ListedLayer extends LayerMeta {
  key: string
  /** Size of its folder, without a packed copy. */
  sizeBytes: number
  usedAtMs: number
}

/** Folders by key. They appear and disappear by rename, so that a crash leaves complete folders. */
export class LayerFolders {
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = dir
  }

  /** Creates the folder and removes half-written files of a crash. */
  async prepare(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    await removeUnfinished(this.#dir)
    for (const key of await readdir(this.#dir)) await removeUnfinished(this.pathOf(key))
  }

  pathOf = (key: string): string => join(this.#dir, key)

  /** Counts as a use of the layer. */
  async find(key: string): Promise<LayerMeta | undefined> {
    const file = join(this.#dir, key, META)
    try {
      const meta = JSON.parse(await readFile(file, 'utf8')) as LayerMeta
      const now = new Date()
      await utimes(file, now, now)
      return meta
    } catch {
      return undefined
    }
  }

  /** Synchronous, and does not count as a use. @throws when the layer does not exist */
  read(key: string): LayerMeta {
    return JSON.parse(readFileSync(join(this.#dir, key, META), 'utf8')) as LayerMeta
  }

  /**
   * Lets `save` write into a folder, which then becomes the layer `key` and replaces an earlier one.
   * @param replacing calls its argument when the folder may be replaced
   */
  async add(
    key: string,
    meta: LayerMeta,
    save: (dir: string) => Promise<void>,
    replacing: (replace: () => Promise<void>) => Promise<void> = (replace) => replace(),
  ): Promise<void> {
    const write = async (writing: string) => {
      await mkdir(writing, { recursive: true, mode: 0o700 })
      await save(writing)
      await writeFile(join(writing, META), JSON.stringify(meta))
    }
    const publish = (writing: string, path: string) =>
      replacing(async () => {
        await this.remove(key)
        await rename(writing, path)
      })
    await writeAtomically(this.pathOf(key), write, { publish })
  }

  /** Lists all layers, the least recently used first. */
  async list(): Promise<ListedLayer[]> {
    const found: ListedLayer[] = []
    for (const key of await readdir(this.#dir).catch(() => [])) {
      if (key.startsWith(WRITING_PREFIX)) continue
      const entry = await describe(this.pathOf(key)).catch(() => undefined)
      if (entry) found.push({ key, ...entry })
    }
    return found.sort((a, b) => a.usedAtMs - b.usedAtMs)
  }

  /** Hard links to the files elsewhere are not affected. */
  async remove(key: string): Promise<void> {
    const removing = join(this.#dir, `${WRITING_PREFIX}${randomUUID()}`)
    await rename(this.pathOf(key), removing).catch(() => {})
    await rm(removing, { recursive: true, force: true })
  }
}

async function describe(dir: string) {
  // files may be packed or unpacked meanwhile, but the layer still exists
  const sizeBytes = await diskUsedBytes(dir).catch(() => 0)
  const file = join(dir, META)
  const meta = JSON.parse(await readFile(file, 'utf8')) as LayerMeta
  const { mtimeMs } = await stat(file)
  return { ...meta, sizeBytes, usedAtMs: mtimeMs }
}

/** Measures allocated bytes, because the files are sparse. */
export async function diskUsedBytes(path: string): Promise<number> {
  const { stdout } = await run('du', ['-s', '--block-size=1', path], { isBackground: true })
  return Number(stdout.split('\t')[0])
}

/** Whether two paths are on one disk, where hard links are possible. */
export const areOnOneDisk = async (a: string, b: string): Promise<boolean> =>
  (await stat(a)).dev === (await stat(b)).dev

/** Copies a folder by hard links when both paths are on one disk, else in full. */
export async function linkFolder(from: string, to: string): Promise<void> {
  const isOneDisk = await areOnOneDisk(from, dirname(to))
  await run('cp', [isOneDisk ? '-al' : '-a', from, to], {
    timeoutMs: isOneDisk ? 60_000 : COPY_TIMEOUT_MS,
    isBackground: true,
  })
}
