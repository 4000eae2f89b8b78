import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isCheckpointId, SandlotError } from '@sandlot/protocol'
import { writeAtomically } from '../host/atomic-writes.ts'
import { pathExists } from '../host/path-exists.ts'
import type { AdoptedBases } from '../takeover/adopted-bases.ts'
import type { BasePlace } from '../takeover/base-place.ts'
import type { CheckpointManifest } from './checkpoint-manifest.ts'
import { type Checksums, checksumsOf, findDamage } from './checksums.ts'

const REMOVING = '.removing-'
/** What other files took the place of; it comes back when a crash kept them from appearing. */
const REPLACED = '.replaced-'
/** Name of the file that describes a checkpoint. */
export const MANIFEST = 'manifest.json'
const CHECKSUMS = 'checksums.json'

/** Folders of one checkpoint: `memory` is what `checkpoint` wrote, `files` what `saveFileSystem` wrote. */
export interface CheckpointPaths {
  memoryDir: string
  filesDir: string
}

export type CheckpointPart = 'memory' | 'files'

/** The checkpoints of this machine's sandboxes, one folder each; they appear and go by rename. */
export class CheckpointFolder {
  readonly #dir: string
  readonly #adopted: AdoptedBases | undefined
  readonly #checkPlace: (place: BasePlace, checkpointId: string) => void
  /** Parts that were read in full since their files are there, by `<id> <part>`. */
  readonly #verified = new Map<string, Promise<boolean>>()

  /**
   * @param adopted where the images of checkpoints are that came from other machines
   * @param checkPlace throws when a manifest names what it may not
   */
  constructor(
    dir: string,
    adopted?: AdoptedBases,
    checkPlace: (place: BasePlace, checkpointId: string) => void = () => {},
  ) {
    this.#dir = dir
    this.#adopted = adopted
    this.#checkPlace = checkPlace
  }

  /** Makes the folder and removes what a crash left half written, half removed or half replaced. */
  async prepare(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    for (const name of await readdir(this.#dir)) {
      const id = name.startsWith(REPLACED) ? name.slice(REPLACED.length) : undefined
      if (id && !(await pathExists(join(this.#dir, id))))
        await rename(join(this.#dir, name), join(this.#dir, id))
    }
    for (const name of await readdir(this.#dir))
      if (!isCheckpointId(name)) await rm(join(this.#dir, name), { recursive: true, force: true })
  }

  async list(): Promise<string[]> {
    return (await readdir(this.#dir).catch(() => [])).filter((name) => isCheckpointId(name))
  }

  /** Where a checkpoint's files are, or would be. */
  dirOf(checkpointId: string): string {
    this.paths(checkpointId)
    return join(this.#dir, checkpointId)
  }

  sizeBytes(checkpointId: string): Promise<number> {
    return sizeOf(this.dirOf(checkpointId))
  }

  paths(checkpointId: string): CheckpointPaths {
    if (!isCheckpointId(checkpointId))
      throw new SandlotError('not_found', `'${checkpointId.slice(0, 100)}' is no checkpoint id`)
    return this.#pathsIn(join(this.#dir, checkpointId))
  }

  /** @throws SandlotError not_found, checkpoint_damaged */
  async read(checkpointId: string): Promise<CheckpointManifest> {
    const text = await readFile(join(this.dirOf(checkpointId), MANIFEST), 'utf8').catch((cause) => {
      throw new SandlotError('not_found', `checkpoint '${checkpointId}' is not on this machine`, { cause })
    })
    return this.parse(text, checkpointId)
  }

  /** A manifest, with what it names where it is on this machine. @throws SandlotError checkpoint_damaged */
  async parse(text: string, checkpointId: string): Promise<CheckpointManifest> {
    const said = parse(text, checkpointId, MANIFEST) as CheckpointManifest
    const manifest = { ...said, ...(await this.#adopted?.placeOf(checkpointId)) }
    this.#checkPlace(manifest, checkpointId)
    return manifest
  }

  /**
   * Lets `save` write the files, then makes the checkpoint visible, in the place of one that was there. Nothing is left
   * when it fails. No crash of a process loses it from now on, a power cut only after `seal`.
   * @param describe what the manifest says besides id, size and time
   */
  async write(
    checkpointId: string,
    describe: Omit<CheckpointManifest, 'checkpointId' | 'sizeBytes' | 'createdAtMs'>,
    save: (paths: CheckpointPaths) => Promise<void>,
  ): Promise<CheckpointManifest> {
    this.paths(checkpointId)
    let manifest: CheckpointManifest | undefined
    await this.#writeFolder(checkpointId, async (writing) => {
      await mkdir(writing, { mode: 0o700 })
      await save(this.#pathsIn(writing))
      const sizeBytes = await sizeOf(writing)
      manifest = { ...describe, checkpointId, sizeBytes, createdAtMs: Date.now() }
      await writeFile(join(writing, MANIFEST), JSON.stringify(manifest, null, 2))
      await this.#adopted?.keep(checkpointId, manifest)
    })
    return manifest!
  }

  /** Adds the file system to a checkpoint that only had the memory. */
  async addFiles(checkpointId: string, save: (filesDir: string) => Promise<void>): Promise<void> {
    const { filesDir } = this.paths(checkpointId)
    await writeAtomically(filesDir, save, { name: 'files' })
  }

  /** Brings it to the disk, and remembers its checksums. Nobody waits for it. */
  async seal(checkpointId: string): Promise<void> {
    const folder = join(this.#dir, checkpointId)
    const entries = await readdir(folder, { withFileTypes: true, recursive: true })
    for (const entry of entries) if (entry.isFile()) await syncPath(join(entry.parentPath, entry.name))
    await syncPath(folder)
    await syncPath(this.#dir)
    const { memoryDir, filesDir } = this.paths(checkpointId)
    const sums: Record<string, Checksums> = {}
    for (const [part, dir] of [
      ['memory', memoryDir],
      ['files', filesDir],
    ] as const)
      if (await pathExists(dir)) sums[part] = await checksumsOf(dir, true)
    const write = (writing: string) => writeFile(writing, JSON.stringify(sums, null, 2), { flush: true })
    await writeAtomically(join(folder, CHECKSUMS), write, { name: CHECKSUMS })
  }

  isSealed(checkpointId: string): Promise<boolean> {
    return pathExists(join(this.dirOf(checkpointId), CHECKSUMS))
  }

  /**
   * Reads it in full.
   * @returns false: it was never sealed, so nothing is known
   * @throws SandlotError checkpoint_damaged
   */
  async verify(checkpointId: string, part: CheckpointPart): Promise<boolean> {
    const text = await readFile(join(this.dirOf(checkpointId), CHECKSUMS), 'utf8').catch(() => undefined)
    const sums = text === undefined ? {} : parse(text, checkpointId, CHECKSUMS)
    const expected = (sums as Partial<Record<CheckpointPart, Checksums>>)[part]
    if (!expected) return false
    const { memoryDir, filesDir } = this.paths(checkpointId)
    const damage = await findDamage(part === 'memory' ? memoryDir : filesDir, expected)
    if (damage) throw damaged(checkpointId, `${part}/${damage}`)
    return true
  }

  /** Reads it in full when nobody has done so since its files are there. @throws SandlotError checkpoint_damaged */
  async verifyOnce(checkpointId: string, part: CheckpointPart): Promise<void> {
    const key = `${checkpointId} ${part}`
    let verifying = this.#verified.get(key)
    if (!verifying) {
      verifying = this.verify(checkpointId, part)
      this.#verified.set(key, verifying)
    }
    const isKnown = await verifying.catch((error) => {
      this.#verified.delete(key)
      throw error
    })
    if (!isKnown) this.#verified.delete(key)
  }

  #forgetVerified(checkpointId: string): void {
    for (const part of ['memory', 'files']) this.#verified.delete(`${checkpointId} ${part}`)
  }

  async hasFiles(checkpointId: string): Promise<boolean> {
    return pathExists(this.paths(checkpointId).filesDir)
  }

  /** Unknown ids resolve. */
  async remove(checkpointId: string): Promise<void> {
    const removing = await this.#putAside(checkpointId, REMOVING)
    await rm(removing, { recursive: true, force: true })
  }

  /** Puts what `write` writes in the place of its files. Who has the old ones open keeps them. */
  async replace(checkpointId: string, write: (dir: string) => Promise<void>): Promise<void> {
    this.paths(checkpointId)
    await this.#writeFolder(checkpointId, write)
  }

  /** Writes the folder of a checkpoint. A crash leaves the folder that was there before, or the new one. */
  #writeFolder(checkpointId: string, write: (writing: string) => Promise<void>): Promise<void> {
    const publish = async (writing: string, path: string) => {
      const replaced = await this.#putAside(checkpointId, REPLACED)
      await rename(writing, path)
      await rm(replaced, { recursive: true, force: true })
    }
    return writeAtomically(join(this.#dir, checkpointId), write, { name: checkpointId, publish })
  }

  /** @returns where its files are now, if there were any */
  async #putAside(checkpointId: string, prefix: string): Promise<string> {
    this.paths(checkpointId)
    this.#forgetVerified(checkpointId)
    const aside = join(this.#dir, `${prefix}${checkpointId}`)
    await rename(join(this.#dir, checkpointId), aside).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
    return aside
  }

  #pathsIn(folder: string): CheckpointPaths {
    return { memoryDir: join(folder, 'memory'), filesDir: join(folder, 'files') }
  }
}

async function sizeOf(folder: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true }))
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size
  return bytes
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function parse(text: string, checkpointId: string, file: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw damaged(checkpointId, `${file} is not JSON (${(cause as Error).message})`, cause)
  }
}

const damaged = (checkpointId: string, detail: string, cause?: unknown): SandlotError =>
  new SandlotError('checkpoint_damaged', `checkpoint '${checkpointId}' is damaged: ${detail}`, { cause })
