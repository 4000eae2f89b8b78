import { existsSync } from 'node:fs'
import { chmod, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import type { ExportedBase, ExportedFile } from '@sandlot/protocol/node'
import { writeFileAtomically } from '../host/atomic-writes.ts'
import type { RemoteStore } from '../objects/sealed-store.ts'
import type { BasePlace } from './base-place.ts'
import { downloadFile } from './exported-files.ts'

const CHECKPOINTS = 'checkpoints'
const FILES = 'files'
/** Younger files are kept, because their checkpoint may be about to appear. */
const GRACE_MS = 10 * 60_000

/**
 * Images and envds of sandboxes that were taken over from other machines. `files/<sha256>-<time>/` holds an image or an
 * envd, and `checkpoints/<id>.json` locates those of a checkpoint, because its own manifest names paths on the machine that
 * saved it. The latter file also protects them from garbage collection.
 */
export class AdoptedBases {
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = dir
  }

  /** @throws SandlotError not_found, checkpoint_damaged, checkpoint_store_unavailable */
  async fetch(store: RemoteStore, checkpointId: string, { image, envd }: ExportedBase): Promise<void> {
    const imagePath = join(this.#dirOf(image), 'image.erofs')
    const envdPath = join(this.#dirOf(envd), 'envd')
    if (!existsSync(imagePath))
      await downloadFile(store, image, imagePath, { mode: 0o644, what: 'the image' })
    if (!existsSync(envdPath)) await downloadFile(store, envd, envdPath, { mode: 0o755, what: 'the envd' })
    // readable for kernels, which run as other users than the server
    for (const path of [dirname(envdPath), envdPath]) await chmod(path, 0o755)
    await this.#place(checkpointId, { imagePath, guestDir: dirname(envdPath) })
  }

  /** @returns undefined when the paths in the manifest are valid */
  async placeOf(checkpointId: string): Promise<BasePlace | undefined> {
    const text = await readFile(this.#pathOf(checkpointId), 'utf8').catch(() => undefined)
    return text === undefined ? undefined : (JSON.parse(text) as BasePlace)
  }

  /** Protects an adopted base for a new checkpoint of a machine that uses it. */
  async keep(checkpointId: string, { imagePath, guestDir }: BasePlace): Promise<void> {
    const isAdopted = [imagePath, guestDir].some((path) => path.startsWith(`${join(this.#dir, FILES)}/`))
    if (isAdopted) await this.#place(checkpointId, { imagePath, guestDir })
  }

  /** Removes bases that no checkpoint needs. @param inUse paths that machines or layers need */
  async collect(checkpointIds: ReadonlySet<string>, inUse: Iterable<string>): Promise<void> {
    const kept = new Set(inUse)
    for (const name of await list(join(this.#dir, CHECKPOINTS))) {
      const checkpointId = name.replace(/\.json$/, '')
      const path = join(this.#dir, CHECKPOINTS, name)
      const isNeeded = checkpointIds.has(checkpointId) || (await stat(path)).mtimeMs > Date.now() - GRACE_MS
      const place = isNeeded ? await this.placeOf(checkpointId) : undefined
      if (!place) await rm(path, { force: true })
      else kept.add(place.imagePath).add(place.guestDir)
    }
    for (const name of await list(join(this.#dir, FILES))) {
      const dir = join(this.#dir, FILES, name)
      if (!kept.has(dir) && !kept.has(join(dir, 'image.erofs')))
        await rm(dir, { recursive: true, force: true })
    }
  }

  async #place(checkpointId: string, place: BasePlace): Promise<void> {
    await mkdir(join(this.#dir, CHECKPOINTS), { recursive: true, mode: 0o700 })
    await writeFileAtomically(this.#pathOf(checkpointId), JSON.stringify(place), { isFlushed: true })
  }

  /**
   * Validates fields that become a path, although `SandboxRecords` already did, because the record comes from a bucket.
   */
  #dirOf({ sha256, modifiedAtNs }: ExportedFile): string {
    if (!/^[0-9a-f]{64}$/.test(sha256) || !/^\d{1,20}$/.test(modifiedAtNs))
      throw new SandlotError('checkpoint_damaged', `'${sha256}' and '${modifiedAtNs}' do not identify a file`)
    return join(this.#dir, FILES, `${sha256}-${modifiedAtNs}`)
  }

  #pathOf(checkpointId: string): string {
    if (!/^[a-z0-9]{1,64}$/.test(checkpointId))
      throw new SandlotError('not_found', `'${checkpointId.slice(0, 100)}' is not a valid checkpoint id`)
    return join(this.#dir, CHECKPOINTS, `${checkpointId}.json`)
  }
}

const list = (dir: string): Promise<string[]> => readdir(dir).catch(() => [])
