import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { run } from '../run.ts'

const WRITING = '.writing-'
const META = 'layer.json'
const COPY_TIMEOUT_MS = 10 * 60_000

/** A file system as a step left it: what was written over an image. */
export interface Layer {
  imagePath: string
  /** Absent: the image itself. */
  fileSystemDir?: string
}

/** Finished steps by key. They appear by rename, so that a build that dies leaves the ones before. */
export class LayerCache {
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = dir
  }

  /** Makes the folder and removes what a crash left half written. */
  async prepare(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    for (const name of await readdir(this.#dir))
      if (name.startsWith(WRITING)) await rm(join(this.#dir, name), { recursive: true, force: true })
  }

  /** The folder of a finished layer; finding it counts as use. */
  async find(key: string): Promise<{ dir: string; layer: Layer } | undefined> {
    const dir = join(this.#dir, key)
    try {
      const { imagePath } = JSON.parse(await readFile(join(dir, META), 'utf8')) as Layer
      const now = new Date()
      await utimes(join(dir, META), now, now)
      return { dir, layer: { imagePath, fileSystemDir: join(dir, 'files') } }
    } catch {
      return undefined
    }
  }

  /** Lets `save` write into a folder, then makes it the layer of `key`; one that is there already is replaced. */
  async add(key: string, imagePath: string, save: (dir: string) => Promise<void>): Promise<string> {
    const dir = join(this.#dir, key)
    const writing = join(this.#dir, `${WRITING}${randomUUID()}`)
    await mkdir(writing, { recursive: true, mode: 0o700 })
    try {
      await save(writing)
      await writeFile(join(writing, META), JSON.stringify({ imagePath }))
      await this.remove(key)
      await rename(writing, dir)
      return dir
    } catch (error) {
      await rm(writing, { recursive: true, force: true })
      throw error
    }
  }

  /** All there are, the one that was not used for longest first. */
  async list(): Promise<Array<{ key: string; imagePath: string; sizeBytes: number; usedAtMs: number }>> {
    const found = []
    for (const key of await readdir(this.#dir).catch(() => [])) {
      if (key.startsWith(WRITING)) continue
      const entry = await describe(join(this.#dir, key)).catch(() => undefined)
      if (entry) found.push({ key, ...entry })
    }
    return found.sort((a, b) => a.usedAtMs - b.usedAtMs)
  }

  /** What was linked out of it stays. */
  async remove(key: string): Promise<void> {
    const removing = join(this.#dir, `${WRITING}${randomUUID()}`)
    await rename(join(this.#dir, key), removing).catch(() => {})
    await rm(removing, { recursive: true, force: true })
  }
}

async function describe(dir: string) {
  const meta = join(dir, META)
  const { imagePath } = JSON.parse(await readFile(meta, 'utf8')) as Layer
  const { mtimeMs } = await stat(meta)
  return { imagePath, sizeBytes: await diskUsedBytes(dir), usedAtMs: mtimeMs }
}

/** Allocated on the disk: the files are sparse. */
export async function diskUsedBytes(path: string): Promise<number> {
  const { stdout } = await run('du', ['-s', '--block-size=1', path], { isBackground: true })
  return Number(stdout.split('\t')[0])
}

/** The same files under another folder, without their bytes twice when both are on one disk. */
export async function linkFolder(from: string, to: string): Promise<void> {
  const isOneDisk = (await stat(from)).dev === (await stat(dirname(to))).dev
  await run('cp', [isOneDisk ? '-al' : '-a', from, to], {
    timeoutMs: isOneDisk ? 60_000 : COPY_TIMEOUT_MS,
    isBackground: true,
  })
}
