import { chmod, mkdir, open, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { codeOf, noVolume } from '../errors.ts'
import type { TemporaryNames } from './temporary-names.ts'

/** Written beside the content of each volume, and never changed. */
export interface VolumeDescription {
  version: 1
  /** `image`: a file with a file system of its own; `folder`: a folder of the file system of the volumes. */
  kind: 'image' | 'folder'
  /** `mapped`: owners on disk begin at `FIRST_VOLUME_ID`; `plain`: they are those that sandboxes see. */
  ids: 'mapped' | 'plain'
}

export const IMAGE = 'image'
export const TREE = 'tree'
/** What sandboxes see of a volume, and what they do not: both in its file system, so that files move by a rename. */
export const ROOT = 'root'
export const STAGING = 'staging'
const DESCRIPTION = 'volume.json'

const STATES = ['live', 'trash', 'removing', 'creating'] as const
type State = (typeof STATES)[number]

/** The folder of all volumes: where each volume is, and how it changes its place. Every change is one rename. */
export class VolumeLayout {
  readonly #dir: string
  readonly #names: TemporaryNames

  constructor(dir: string, names: TemporaryNames) {
    this.#dir = dir
    this.#names = names
  }

  async prepare(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    for (const state of STATES) {
      const folder = this.#folderOf(state)
      await mkdir(folder, { recursive: true, mode: 0o700 })
      // guests make programs that run as root of the host, where ids are not mapped: nobody else may reach them
      if ((await stat(folder)).mode & 0o077) await chmod(folder, 0o700)
    }
  }

  /** Folder of a live volume. */
  live(volumeId: string): string {
    return this.#path('live', volumeId)
  }

  /** @throws SandlotError not_found unless the volume is live */
  async describe(volumeId: string): Promise<VolumeDescription> {
    return await readDescription(this.live(volumeId)).catch((error: unknown) => {
      throw codeOf(error) === 'ENOENT' ? noVolume(volumeId) : error
    })
  }

  async has(state: 'live' | 'trash', volumeId: string): Promise<boolean> {
    return exists(this.#path(state, volumeId))
  }

  /** Makes an empty folder, to become a volume by `publish`. */
  async begin(description: VolumeDescription): Promise<string> {
    const folder = join(this.#folderOf('creating'), this.#names.next())
    await mkdir(folder, { mode: 0o700 })
    await writeFile(join(folder, DESCRIPTION), JSON.stringify(description), { flush: true })
    return folder
  }

  /** Makes a folder of `begin` the volume of this id. */
  async publish(folder: string, volumeId: string): Promise<void> {
    await syncFolder(folder)
    await rename(folder, this.live(volumeId))
    await syncFolder(this.#folderOf('live'))
  }

  /** Moves a volume. A volume that is there already resolves. @throws SandlotError not_found */
  async move(volumeId: string, from: 'live' | 'trash', to: 'live' | 'trash'): Promise<void> {
    try {
      await rename(this.#path(from, volumeId), this.#path(to, volumeId))
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
      if (!(await this.has(to, volumeId))) throw noVolume(volumeId)
    }
    await syncFolder(this.#folderOf(from))
    await syncFolder(this.#folderOf(to))
  }

  /** Gives a volume up: its folder is now in `removing`. Unknown ids resolve. */
  async discard(volumeId: string): Promise<void> {
    for (const state of ['live', 'trash'] as const) {
      await rename(this.#path(state, volumeId), join(this.removing, this.#names.next())).catch(
        (error: unknown) => {
          if (codeOf(error) !== 'ENOENT') throw error
        },
      )
      await syncFolder(this.#folderOf(state))
    }
  }

  /** Folder for what can be removed. */
  get removing(): string {
    return this.#folderOf('removing')
  }

  /** Gives a folder of `begin` up: it is now in `removing`. One that was published resolves. */
  async abandon(folder: string): Promise<void> {
    await rename(folder, join(this.removing, this.#names.next())).catch(() => {})
  }

  /** Whether this server is to remove an entry of `removing`: what another one gave up is left to it for a day. */
  async isOursToRemove(name: string): Promise<boolean> {
    return this.#names.isOwn(name) || this.#isLeftover(join(this.removing, name))
  }

  /** Discards what a process that has ended was creating. Other servers may create volumes in the meantime. */
  async discardUnfinished(): Promise<void> {
    const folder = this.#folderOf('creating')
    for (const name of await readdir(folder))
      if (await this.#isLeftover(join(folder, name))) await this.abandon(join(folder, name))
  }

  async #isLeftover(path: string): Promise<boolean> {
    const stats = await stat(path).catch(() => undefined)
    return stats !== undefined && this.#names.isLeftover(basename(path), stats.ctimeMs)
  }

  #folderOf(state: State): string {
    return join(this.#dir, state)
  }

  #path(state: State, volumeId: string): string {
    if (!/^[A-Za-z0-9_-]{1,64}$/.test(volumeId)) throw noVolume(volumeId.slice(0, 100))
    return join(this.#folderOf(state), volumeId)
  }
}

export async function readDescription(folder: string): Promise<VolumeDescription> {
  return JSON.parse(await readFile(join(folder, DESCRIPTION), 'utf8')) as VolumeDescription
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

/** Writes the names of a folder to the disk. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
