import { DAY_MS, newVolumeId, SandlotError } from '@sandlot/protocol'
import type { VolumeMount, VolumeStorage, VolumeUsage } from '@sandlot/protocol/node'
import type { Logger } from 'pino'
import { KeyedLock } from '../concurrency/keyed-lock.ts'
import { TEAM_LIMITS, type TeamLimits } from '../teams/limits.ts'
import type { Team } from '../teams/team.ts'
import { type AskedMount, checkedMount, checkedMounts, type FindVolume } from './mounts.ts'
import type { Volume, VolumeRepository } from './repository.ts'

const NAME = /^[a-zA-Z0-9_-]{1,128}$/
const MiB = 2 ** 20
const PRUNED_AT_ONCE = 16
/** Sandboxes that an error names. */
const NAMED_SANDBOXES = 5

export interface VolumeServiceOptions {
  repository: VolumeRepository
  /** Absent: this server has no volumes. */
  storage: VolumeStorage | undefined
  limits: TeamLimits
  /** Ids of the team's sandboxes, running or paused, that have the volume mounted. */
  usersOf: (teamId: string, volumeId: string) => string[]
  /** How long a deleted volume can be restored. Default 24 hours. */
  trashMs?: number
  logger: Logger
  now: () => number
}

export interface VolumeRequest {
  name: string
  /** Default: that of `from`, or 10 GiB. */
  sizeMB?: number
  /** Id of a volume whose files are copied. */
  from?: string
  /** Nobody can change the files of the copy. Default false. */
  snapshot?: boolean
}

/** Volumes of teams: whose they are, how large, and when their files may go. */
export class VolumeService {
  readonly #options: VolumeServiceOptions
  /** One change of a volume at a time. */
  readonly #changes = new KeyedLock()

  constructor(options: VolumeServiceOptions) {
    this.#options = options
  }

  /** @throws SandlotError forbidden when this server has no volumes */
  get storage(): VolumeStorage {
    const { storage } = this.#options
    if (!storage)
      throw new SandlotError(
        'forbidden',
        'use of volumes is not enabled on this server (its setting volumes)',
      )
    return storage
  }

  get trashMs(): number {
    return this.#options.trashMs ?? DAY_MS
  }

  async list({ teamId }: Team): Promise<Volume[]> {
    void this.storage
    return this.#options.repository.list(teamId)
  }

  async listDeleted({ teamId }: Team): Promise<Volume[]> {
    void this.storage
    return this.#options.repository.listDeleted(teamId)
  }

  /** @throws SandlotError not_found */
  async get(teamId: string, volumeId: string): Promise<Volume> {
    void this.storage
    const found = await this.#options.repository.find(teamId, volumeId)
    if (!found || found.deletedAtMs !== undefined) throw unknownVolume(volumeId)
    return found
  }

  /** Finds the volumes that a create names. @throws SandlotError invalid_request */
  async mountsOf(teamId: string, asked: readonly AskedMount[]): Promise<VolumeMount[]> {
    return checkedMounts(asked, await this.#volumesOf(teamId))
  }

  /** Finds the volume that a running sandbox is to have, beside those of `mounted`. @throws SandlotError invalid_request, conflict */
  async mountOf(teamId: string, asked: AskedMount, mounted: readonly VolumeMount[]): Promise<VolumeMount> {
    return checkedMount(asked, await this.#volumesOf(teamId), mounted)
  }

  async #volumesOf(teamId: string): Promise<FindVolume> {
    const { storage, repository } = this.#options
    if (!storage) throw new SandlotError('invalid_request', 'Volume mounts are not enabled.')
    const byName = new Map((await repository.list(teamId)).map((volume) => [volume.name, volume]))
    return (name) => byName.get(name)
  }

  /** What a volume takes of the disk; undefined when that cannot be found out now. */
  async usage({ volumeId }: Volume): Promise<VolumeUsage | undefined> {
    return this.storage.usage(volumeId).catch(() => undefined)
  }

  /** @throws SandlotError invalid_request, not_found (`from`), quota_exceeded, disk_full, volume_unavailable */
  async create(team: Team, request: VolumeRequest): Promise<{ volume: Volume; copied?: 'reflink' | 'copy' }> {
    const { storage } = this
    const { repository, limits, now } = this.#options
    const { name, from } = request
    if (!NAME.test(name)) throw new SandlotError('invalid_request', 'Invalid volume name')
    const source = from === undefined ? undefined : await this.get(team.teamId, from)
    const sizeBytes = sizeOf(request, source)
    const snapshotOf = request.snapshot ? source?.volumeId : undefined
    const { teamId } = team
    const volume = { volumeId: newVolumeId(), teamId, name, sizeBytes, createdAtMs: now(), snapshotOf }
    const isNew = await repository.insert(volume, (totals) =>
      limits.checkVolumes(team, { count: totals.count + 1, sizeBytes: totals.sizeBytes + sizeBytes }),
    )
    if (!isNew) throw new SandlotError('invalid_request', `Volume with name '${name}' already exists`)
    try {
      const { copied } = await storage.create(volume.volumeId, { sizeBytes, from })
      await repository.setReady(volume.volumeId, now())
      return { volume: { ...volume, isReady: true }, copied }
    } catch (error) {
      await this.#forget(volume.volumeId)
      throw error
    }
  }

  /** @throws SandlotError invalid_request, not_found, quota_exceeded, volume_unavailable */
  grow(team: Team, volumeId: string, sizeMB: number): Promise<Volume> {
    return this.#changes.run(volumeId, async () => {
      const { repository, limits } = this.#options
      const volume = await this.get(team.teamId, volumeId)
      checkNoSnapshot(volume)
      const sizeBytes = checkedSize(sizeMB)
      if (sizeBytes < volume.sizeBytes)
        throw new SandlotError(
          'invalid_request',
          `sizeMB is ${sizeMB}, but the volume has ${volume.sizeBytes / MiB} MB: volumes only grow`,
        )
      const added = sizeBytes - volume.sizeBytes
      await repository.setSize(volume, sizeBytes, (totals) =>
        limits.checkVolumes(team, { ...totals, sizeBytes: totals.sizeBytes + added }),
      )
      try {
        await this.storage.grow(volumeId, sizeBytes)
      } catch (error) {
        await repository.setSize(volume, volume.sizeBytes, () => {})
        throw this.#withUsers(error, volume)
      }
      return { ...volume, sizeBytes }
    })
  }

  /** Says which sandboxes use the volume when that is why a change was refused. */
  #withUsers(error: unknown, { teamId, volumeId, name }: Volume): unknown {
    if (!(error instanceof SandlotError) || error.errorName !== 'conflict') return error
    const users = this.#options.usersOf(teamId, volumeId)
    const holders =
      users.length > 0
        ? `${named(users)} ${users.length === 1 ? 'has' : 'have'} it mounted`
        : // the kernel of a guest remembers files for a while
          'a sandbox that has unmounted it holds it until that sandbox ends'
    const message = `volume '${name}' cannot grow now: ${holders}, and ${error.message}`
    const wayOut = 'kill what holds it, or make a larger copy (`from` and `sizeMB`)'
    return new SandlotError('conflict', `${message}: ${wayOut}`, { cause: error })
  }

  /**
   * Moves a volume to the trash.
   * @param isForGood deletes it instead, also one that is in the trash
   * @throws SandlotError not_found, conflict naming the sandboxes that use it
   */
  delete(team: Team, volumeId: string, isForGood = false): Promise<void> {
    return this.#changes.run(volumeId, async () => {
      if (isForGood && (await this.#isInTrash(team, volumeId))) return this.#forget(volumeId)
      const volume = await this.get(team.teamId, volumeId)
      const own = this.#options.usersOf(team.teamId, volumeId)
      const users = own.length > 0 ? own : await this.#options.repository.usersOf(team.teamId, volumeId)
      if (users.length > 0)
        throw new SandlotError(
          'conflict',
          `volume '${volume.name}' is in use by ${named(users)}: kill them first`,
        )
      // before the row: a start brings files back whose row is not deleted
      await this.storage.trash(volumeId)
      await this.#options.repository.setDeleted(volumeId, this.#options.now())
      if (isForGood) await this.#forget(volumeId)
    })
  }

  async #isInTrash({ teamId }: Team, volumeId: string): Promise<boolean> {
    void this.storage
    return (await this.#options.repository.find(teamId, volumeId))?.deletedAtMs !== undefined
  }

  /** @throws SandlotError not_found, conflict when the name is taken */
  restore(team: Team, volumeId: string): Promise<Volume> {
    return this.#changes.run(volumeId, async () => {
      const { storage } = this
      const { repository } = this.#options
      const volume = await repository.find(team.teamId, volumeId)
      if (!volume) throw unknownVolume(volumeId)
      if (volume.deletedAtMs === undefined) return volume
      if (!(await repository.setRestored(volume)))
        throw new SandlotError(
          'conflict',
          `another volume has the name '${volume.name}' now: delete that one first`,
        )
      try {
        await storage.restore(volumeId)
      } catch (error) {
        await repository.setDeleted(volumeId, volume.deletedAtMs)
        throw error
      }
      return { ...volume, deletedAtMs: undefined }
    })
  }

  /** Brings files and rows together after a crash. */
  async recover(): Promise<void> {
    const { storage, repository, logger } = this.#options
    if (!storage) return
    for (const { volumeId, isReady, deletedAtMs } of await repository.all()) {
      try {
        if (!isReady) await this.#forget(volumeId)
        else if (deletedAtMs === undefined) await storage.restore(volumeId)
        else await storage.trash(volumeId)
      } catch (err) {
        logger.warn({ err, volumeId }, 'the files of a volume are missing')
      }
    }
  }

  /** Removes volumes for good that were deleted too long ago. @returns how many */
  async prune(): Promise<number> {
    const { storage, repository, now, logger } = this.#options
    if (!storage) return 0
    const beforeMs = now() - this.trashMs
    let count = 0
    for (const { teamId, volumeId } of await repository.deletedBefore(beforeMs, PRUNED_AT_ONCE))
      await this.#changes
        .run(volumeId, async () => {
          // a restore may have come before
          const { deletedAtMs } = (await repository.find(teamId, volumeId)) ?? {}
          if (deletedAtMs === undefined || deletedAtMs >= beforeMs) return
          await this.#forget(volumeId)
          count += 1
        })
        .catch((err: unknown) => logger.warn({ err, volumeId }, 'a deleted volume was not removed'))
    return count
  }

  /** The files go first, so that nothing is left that no row names. */
  async #forget(volumeId: string): Promise<void> {
    await this.storage.remove(volumeId)
    await this.#options.repository.delete(volumeId)
  }
}

/** @throws SandlotError conflict when nobody can change the volume */
export function checkNoSnapshot({ name, snapshotOf }: Volume): void {
  if (snapshotOf !== undefined)
    throw new SandlotError(
      'conflict',
      `volume '${name}' is a snapshot, which stays as it is: create a volume \`from\` it and change that one`,
    )
}

function sizeOf({ sizeMB, snapshot = false }: VolumeRequest, source: Volume | undefined): number {
  if (snapshot && !source)
    throw new SandlotError('invalid_request', 'snapshot is true, but from does not say of which volume')
  if (snapshot && sizeMB !== undefined)
    throw new SandlotError(
      'invalid_request',
      `sizeMB is ${sizeMB}, but a snapshot has the size of its volume`,
    )
  const sizeBytes = sizeMB === undefined ? undefined : checkedSize(sizeMB)
  if (!source) return sizeBytes ?? TEAM_LIMITS.defaultVolumeMB * MiB
  if (sizeBytes !== undefined && sizeBytes < source.sizeBytes)
    throw new SandlotError(
      'invalid_request',
      `sizeMB is ${sizeMB}, but the volume to copy has ${source.sizeBytes / MiB} MB: a copy is not smaller`,
    )
  return sizeBytes ?? source.sizeBytes
}

function checkedSize(sizeMB: number): number {
  if (sizeMB < MIN_SIZE_MB || sizeMB > TEAM_LIMITS.volumeMB)
    throw new SandlotError(
      'invalid_request',
      `sizeMB is ${sizeMB}, a volume has ${MIN_SIZE_MB} to ${TEAM_LIMITS.volumeMB} MB`,
    )
  return sizeMB * MiB
}

/** Smallest file system with a journal that is worth having. */
const MIN_SIZE_MB = 16

const unknownVolume = (volumeId: string): SandlotError =>
  new SandlotError('not_found', `volume '${volumeId}' does not exist in this team`)

function named(sandboxIds: string[]): string {
  const shown = sandboxIds.slice(0, NAMED_SANDBOXES).join(', ')
  const more = sandboxIds.length - NAMED_SANDBOXES
  return `${sandboxIds.length === 1 ? 'sandbox' : 'sandboxes'} ${shown}${more > 0 ? ` and ${more} more` : ''}`
}
