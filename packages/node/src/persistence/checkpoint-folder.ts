import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isCheckpointId, SandlotError } from '@sandlot/protocol'
import { writeAtomically } from '../host/atomic-writes.ts'
import { pathExists } from '../host/path-exists.ts'
import type { AdoptedBases } from '../takeover/adopted-bases.ts'
import type { BasePlace } from '../takeover/base-place.ts'
import { type SlotVolume, toSlotVolumes } from '../volumes/volume-table.ts'
import type { CheckpointManifest } from './checkpoint-manifest.ts'
import { type Checksums, checksumsOf, findDamage } from './checksums.ts'

const REMOVING = '.removing-'
/** Prefix of the name of a replaced folder, which is restored when a crash came before the new folder was renamed. */
const REPLACED = '.replaced-'
/** Name of the file that describes a checkpoint. */
export const MANIFEST = 'manifest.json'
const CHECKSUMS = 'checksums.json'

/** Folders of one checkpoint: `memory` was written by `checkpoint`, `files` by `saveFileSystem`. */
export interface CheckpointPaths {
  memoryDir: string
  filesDir: string
}

export type CheckpointPart = 'memory' | 'files'

/** The unpacked checkpoints on this machine, one folder each. They are added and removed by rename. */
export class CheckpointFolder {
  readonly #dir: string
  readonly #adopted: AdoptedBases | undefined
  readonly #checkPlace: (place: BasePlace, checkpointId: string) => void
  /** Parts that have been verified since their files were written, by `<id> <part>`. */
  readonly #verified = new Map<string, Promise<boolean>>()

  /**
   * @param adopted locates the images of checkpoints of other machines
   * @param checkPlace throws when a manifest contains a path that is not allowed
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

  /** Creates the folder and cleans up after a crash: half-written, half-removed and half-replaced checkpoints. */
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

  /** Folder of a checkpoint, whether it exists or not. */
  dirOf(checkpointId: string): string {
    this.paths(checkpointId)
    return join(this.#dir, checkpointId)
  }

  sizeBytes(checkpointId: string): Promise<number> {
    return sizeOf(this.dirOf(checkpointId))
  }

  paths(checkpointId: string): CheckpointPaths {
    if (!isCheckpointId(checkpointId))
      throw new SandlotError('not_found', `'${checkpointId.slice(0, 100)}' is not a valid checkpoint id`)
    return this.#pathsIn(join(this.#dir, checkpointId))
  }

  /** @throws SandlotError not_found, checkpoint_damaged */
  async read(checkpointId: string): Promise<CheckpointManifest> {
    const text = await readFile(join(this.dirOf(checkpointId), MANIFEST), 'utf8').catch((cause) => {
      throw new SandlotError('not_found', `checkpoint '${checkpointId}' is not on this machine`, { cause })
    })
    return this.parse(text, checkpointId)
  }

  /** Parses a manifest and adapts its paths to this machine. @throws SandlotError checkpoint_damaged */
  async parse(text: string, checkpointId: string): Promise<CheckpointManifest> {
    const parsed = parse(text, checkpointId, MANIFEST) as CheckpointManifest
    const manifest = { ...parsed, ...(await this.#adopted?.placeOf(checkpointId)) }
    this.#checkPlace(manifest, checkpointId)
    return manifest.volumes ? { ...manifest, volumes: volumesOf(manifest, checkpointId) } : manifest
  }

  /**
   * Lets `save` write the files, then makes the checkpoint visible or replaces an earlier one. A failure leaves no files.
   * A written checkpoint survives a crash of the server, but a power cut only after `seal`.
   * @param describe the manifest without id, size and time
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

  /** Adds the file system to a checkpoint that has only the memory. */
  async addFiles(checkpointId: string, save: (filesDir: string) => Promise<void>): Promise<void> {
    const { filesDir } = this.paths(checkpointId)
    await writeAtomically(filesDir, save, { name: 'files' })
  }

  /** Flushes a checkpoint to the disk and stores its checksums. Runs in the background. */
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
   * Compares a part with its checksums, reading all of it.
   * @returns false when the checkpoint was never sealed and cannot be verified
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

  /** Like `verify`, but only once for the current files. @throws SandlotError checkpoint_damaged */
  async verifyOnce(checkpointId: string, part: CheckpointPart): Promise<void> {
    const key = `${checkpointId} ${part}`
    let verifying = this.#verified.get(key)
    if (!verifying) {
      verifying = this.verify(checkpointId, part)
      this.#verified.set(key, verifying)
    }
    const isVerified = await verifying.catch((error) => {
      this.#verified.delete(key)
      throw error
    })
    if (!isVerified) this.#verified.delete(key)
  }

  #forgetVerified(checkpointId: string): void {
    for (const part of ['memory', 'files']) this.#verified.delete(`${checkpointId} ${part}`)
  }

  async hasFiles(checkpointId: string): Promise<boolean> {
    return pathExists(this.paths(checkpointId).filesDir)
  }

  /** Idempotent: unknown ids resolve. */
  async remove(checkpointId: string): Promise<void> {
    const removing = await this.#moveAside(checkpointId, REMOVING)
    await rm(removing, { recursive: true, force: true })
  }

  /** Replaces the files of a checkpoint with those that `write` creates. Open files stay readable. */
  async replace(checkpointId: string, write: (dir: string) => Promise<void>): Promise<void> {
    this.paths(checkpointId)
    await this.#writeFolder(checkpointId, write)
  }

  /** Writes the folder of a checkpoint. After a crash either the old or the new folder exists. */
  #writeFolder(checkpointId: string, write: (writing: string) => Promise<void>): Promise<void> {
    const publish = async (writing: string, path: string) => {
      const replaced = await this.#moveAside(checkpointId, REPLACED)
      await rename(writing, path)
      await rm(replaced, { recursive: true, force: true })
    }
    return writeAtomically(join(this.#dir, checkpointId), write, { name: checkpointId, publish })
  }

  /** Renames the folder of a checkpoint, if it exists. @returns the new path */
  async #moveAside(checkpointId: string, prefix: string): Promise<string> {
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

function volumesOf({ volumes }: CheckpointManifest, checkpointId: string): SlotVolume[] {
  try {
    return toSlotVolumes(volumes)
  } catch (cause) {
    throw damaged(checkpointId, (cause as Error).message, cause)
  }
}

const damaged = (checkpointId: string, detail: string, cause?: unknown): SandlotError =>
  new SandlotError('checkpoint_damaged', `checkpoint '${checkpointId}' is damaged: ${detail}`, { cause })
