import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { removeUnfinished, WRITING_PREFIX, writeAtomically } from '../host/atomic-writes.ts'
import { run } from '../host/run.ts'

const META = 'layer.json'
const COPY_TIMEOUT_MS = 10 * 60_000

/** What is known of a layer without its files. */
export interface LayerMeta {
  /** What it lies over. */
  imagePath: string
  /** Id of its packed copy, there or on the way; only folders that are not the home's layers have none. */
  packedId?: string
  /** What its maker wants to find with it. */
  note?: string
}

export interface ListedLayer extends LayerMeta {
  key: string
  /** Of its folder; a packed copy is not in it. */
  sizeBytes: number
  usedAtMs: number
}

/** A folder for each key. They appear and go by rename, so that a build that dies leaves the ones before. */
export class LayerFolders {
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = dir
  }

  /** Makes the folder and removes what a crash left half written. */
  async prepare(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    await removeUnfinished(this.#dir)
    for (const key of await readdir(this.#dir)) await removeUnfinished(this.pathOf(key))
  }

  pathOf = (key: string): string => join(this.#dir, key)

  /** Finding it counts as use. */
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

  /** Without an await, and no use of it. @throws when there is none */
  read(key: string): LayerMeta {
    return JSON.parse(readFileSync(join(this.#dir, key, META), 'utf8')) as LayerMeta
  }

  /**
   * Lets `save` write into a folder, then makes it the one of `key`, in the place of one that is there already.
   * @param replacing called to put it there, when that is allowed
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

  /** All there are, the one that was not used for longest first. */
  async list(): Promise<ListedLayer[]> {
    const found: ListedLayer[] = []
    for (const key of await readdir(this.#dir).catch(() => [])) {
      if (key.startsWith(WRITING_PREFIX)) continue
      const entry = await describe(this.pathOf(key)).catch(() => undefined)
      if (entry) found.push({ key, ...entry })
    }
    return found.sort((a, b) => a.usedAtMs - b.usedAtMs)
  }

  /** What was linked out of it stays. */
  async remove(key: string): Promise<void> {
    const removing = join(this.#dir, `${WRITING_PREFIX}${randomUUID()}`)
    await rename(this.pathOf(key), removing).catch(() => {})
    await rm(removing, { recursive: true, force: true })
  }
}

async function describe(dir: string) {
  // its files may come and go meanwhile, which makes it no less a layer
  const sizeBytes = await diskUsedBytes(dir).catch(() => 0)
  const file = join(dir, META)
  const meta = JSON.parse(await readFile(file, 'utf8')) as LayerMeta
  const { mtimeMs } = await stat(file)
  return { ...meta, sizeBytes, usedAtMs: mtimeMs }
}

/** Allocated on the disk: the files are sparse. */
export async function diskUsedBytes(path: string): Promise<number> {
  const { stdout } = await run('du', ['-s', '--block-size=1', path], { isBackground: true })
  return Number(stdout.split('\t')[0])
}

/** Links to the files of one folder take no bytes only there. */
export const areOnOneDisk = async (a: string, b: string): Promise<boolean> =>
  (await stat(a)).dev === (await stat(b)).dev

/** The same files under another folder, without their bytes twice when both are on one disk. */
export async function linkFolder(from: string, to: string): Promise<void> {
  const isOneDisk = await areOnOneDisk(from, dirname(to))
  await run('cp', [isOneDisk ? '-al' : '-a', from, to], {
    timeoutMs: isOneDisk ? 60_000 : COPY_TIMEOUT_MS,
    isBackground: true,
  })
}
