import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { DAY_MS, SandlotError } from '@sandlot/protocol'
import { archiveKey, type SandboxNode } from '@sandlot/protocol/node'
import { checkUploads, TEAM_LIMITS, type TeamLimits, type UploadAmount } from '../teams/limits.ts'
import type { Team } from '../teams/team.ts'
import type { UploadRecord, UploadRepository } from './repository.ts'
import { type UploadTicket, UploadTickets } from './tickets.ts'

const WRITING = '.writing-'
const MAX_AGE_MS = 7 * DAY_MS
/** Younger archives are not deleted to make room: a build may still need them. */
const MIN_AGE_MS = DAY_MS
/** Bytes that an upload writes between two checks of the disk's free space. */
const BLOCK_BYTES = 4 * 2 ** 20
const FILE_NAME = /^([0-9a-f-]{36})-([0-9a-f]{64})\.tar$/

export interface UploadsOptions {
  /** `<home>/uploads`. */
  dir: string
  repository: UploadRepository
  limits: Pick<TeamLimits, 'uploads'>
  /** Examines an archive in a separate process. */
  checkArchive: SandboxNode['checkArchive']
  /** Bytes that can be written to the disk of `dir` before sandboxes are frozen for lack of space. */
  roomBytes: () => number
  now: () => number
}

/**
 * Archives that COPY steps refer to, by the hash that the owner's client computed. The hash covers facts that the tar
 * does not contain (sizes of folders), so the server cannot verify it; therefore an archive is only found by the team
 * that sent it.
 */
export class Uploads {
  readonly #options: UploadsOptions
  readonly #tickets: UploadTickets
  /** Every archive that is kept, by file. */
  readonly #kept = new Map<string, UploadRecord>()
  readonly #keptBy = new Map<string, UploadAmount>()
  /** Archives that teams are sending now, and the bytes that have arrived. */
  readonly #coming = new Map<string, UploadAmount>()

  constructor(options: UploadsOptions) {
    this.#options = options
    this.#tickets = new UploadTickets(options.now)
  }

  /**
   * Reconciles folder and rows after a start: deletes half-written files, and inserts rows for archives of older versions.
   * Archives of teams that this database does not know are kept equally long, judged by the time of the file.
   */
  async prepare(): Promise<void> {
    const { dir, repository } = this.#options
    await mkdir(dir, { recursive: true, mode: 0o700 })
    const known = new Map((await repository.all()).map((one) => [this.path(one.teamId, one.hash), one]))
    const teams = await repository.teamIds()
    for (const name of await readdir(dir)) {
      const file = join(dir, name)
      const [, teamId, hash] = FILE_NAME.exec(name) ?? []
      if (name.startsWith(WRITING) || teamId === undefined || hash === undefined) {
        await rm(file, { recursive: true, force: true })
        continue
      }
      const { size, mtimeMs } = await stat(file)
      // a database that was restored from a backup may be older than the last use
      const usedAtMs = Math.max(known.get(file)?.usedAtMs ?? 0, Math.floor(mtimeMs))
      const record = { teamId, hash, sizeBytes: size, usedAtMs }
      if (!known.delete(file) && teams.has(teamId)) await repository.insert(record)
      this.#keep(record)
    }
    for (const { teamId, hash } of known.values()) await repository.remove(teamId, hash)
    await this.prune()
  }

  path = (teamId: string, hash: string): string => join(this.#options.dir, archiveKey(teamId, hash))

  /** Counts the archives that a team keeps or is sending. */
  usage(teamId: string): UploadAmount {
    const [kept, coming] = [this.#keptBy.get(teamId), this.#coming.get(teamId)]
    return {
      count: (kept?.count ?? 0) + (coming?.count ?? 0),
      sizeBytes: (kept?.sizeBytes ?? 0) + (coming?.sizeBytes ?? 0),
    }
  }

  /** Tells whether an archive is stored; the question counts as use. @param templateId that will use the archive */
  async has(teamId: string, hash: string, templateId?: string): Promise<boolean> {
    const { repository } = this.#options
    const file = this.path(teamId, hash)
    const record = this.#kept.get(file)
    if (!record) return false
    const now = new Date(this.#options.now())
    const isThere = await utimes(file, now, now).then(
      () => true,
      () => false,
    )
    if (!isThere) {
      await this.#remove(record)
      return false
    }
    record.usedAtMs = now.getTime()
    await repository.touch(teamId, hash, record.usedAtMs)
    if (templateId !== undefined) await repository.use(teamId, hash, templateId)
    return true
  }

  /** Allows one upload within an hour. @returns a token for `receive` */
  ticket = (team: Team, templateId: string, hash: string): string => this.#tickets.add(team, templateId, hash)

  /**
   * Receives an archive.
   * @param announcedBytes size of the archive as the sender announced it; 0: unknown
   * @throws SandlotError forbidden, payload_too_large, quota_exceeded, disk_full, invalid_request: not a tar, or an unsafe one
   */
  async receive(token: string, content: Readable, announcedBytes = 0): Promise<void> {
    const ticket = this.#tickets.find(token)
    if (!ticket) throw new SandlotError('forbidden', 'this upload URL has expired: request a new one')
    const { team } = ticket
    const limit = this.#options.limits.uploads(team)
    await this.#makeRoom(team, limit, announcedBytes)
    const { count, sizeBytes } = this.usage(team.teamId)
    checkUploads(team, { count: count + 1, sizeBytes: sizeBytes + announcedBytes }, limit)
    const coming = this.#coming.get(team.teamId) ?? { count: 0, sizeBytes: 0 }
    this.#coming.set(team.teamId, coming)
    coming.count++
    let receivedBytes = 0
    try {
      await this.#write(ticket, content, (bytes) => {
        receivedBytes += bytes
        coming.sizeBytes += bytes
        checkUploads(team, this.usage(team.teamId), limit)
        this.#checkArchive(receivedBytes, bytes)
      })
      this.#tickets.remove(token)
    } finally {
      coming.count--
      coming.sizeBytes -= receivedBytes
      if (coming.count === 0) this.#coming.delete(team.teamId)
    }
  }

  /** @param onBytes called with the size of each part; throws when the archive is too large */
  async #write(
    { team: { teamId }, templateId, hash }: UploadTicket,
    content: Readable,
    onBytes: (bytes: number) => void,
  ): Promise<void> {
    const { dir, repository, now } = this.#options
    const writing = join(dir, `${WRITING}${randomUUID()}`)
    try {
      await pipeline(content, counted(onBytes), createWriteStream(writing, { mode: 0o600 }))
      await this.#options.checkArchive(basename(writing), {
        owner: teamId,
        maxConcurrent: TEAM_LIMITS.uploadChecks,
        maxEntries: TEAM_LIMITS.uploadEntries,
        maxBytes: TEAM_LIMITS.uploadUnpackedBytes,
      })
      const record = { teamId, hash, sizeBytes: (await stat(writing)).size, usedAtMs: now() }
      await repository.insert(record, templateId).catch((cause) => {
        throw new SandlotError('not_found', `template '${templateId}' was deleted`, { cause })
      })
      const file = this.path(teamId, hash)
      await rename(writing, file)
      this.#keep(record)
    } catch (error) {
      await rm(writing, { force: true })
      throw error
    }
  }

  #checkArchive(receivedBytes: number, newBytes: number): void {
    if (receivedBytes > TEAM_LIMITS.uploadBytes)
      throw new SandlotError(
        'payload_too_large',
        `an archive of a COPY has at most ${TEAM_LIMITS.uploadBytes / 2 ** 30} GiB`,
      )
    const isNewBlock = receivedBytes === newBytes || receivedBytes % BLOCK_BYTES < newBytes
    if (isNewBlock) this.#checkDisk()
  }

  /** Checks the free space, of which each concurrent upload may use a block that is not written yet. */
  #checkDisk(): void {
    const senders = [...this.#coming.values()].reduce((sum, { count }) => sum + count, 0)
    if (this.#options.roomBytes() >= senders * BLOCK_BYTES) return
    throw new SandlotError('disk_full', 'the disk of this machine has no room for this archive')
  }

  /** Deletes a team's oldest archives for a new one. */
  async #makeRoom({ teamId }: Team, limit: UploadAmount, bytes: number): Promise<void> {
    const isEnough = () => {
      const { count, sizeBytes } = this.usage(teamId)
      return count < limit.count && sizeBytes + bytes <= limit.sizeBytes
    }
    if (isEnough()) return
    const lastMs = this.#options.now() - MIN_AGE_MS
    const old = [...this.#kept.values()].filter(
      (record) => record.teamId === teamId && record.usedAtMs < lastMs,
    )
    for (const record of old.sort((a, b) => a.usedAtMs - b.usedAtMs)) {
      await this.#remove(record)
      if (isEnough()) return
    }
  }

  /** Removes archives that were not used for a week. */
  async prune(): Promise<void> {
    const lastMs = this.#options.now() - MAX_AGE_MS
    for (const record of [...this.#kept.values()]) if (record.usedAtMs < lastMs) await this.#remove(record)
  }

  /**
   * Finds the archives that only one template uses, before that template is removed. @returns a function that removes
   * these archives
   */
  async releasedBy(templateId: string): Promise<() => Promise<void>> {
    const released = await this.#options.repository.onlyFor(templateId)
    return async () => {
      for (const { teamId, hash } of released) {
        const record = this.#kept.get(this.path(teamId, hash))
        if (record) await this.#remove(record)
      }
    }
  }

  async #remove({ teamId, hash }: UploadRecord): Promise<void> {
    const file = this.path(teamId, hash)
    this.#forget(file)
    await rm(file, { force: true })
    await this.#options.repository.remove(teamId, hash)
  }

  #keep(record: UploadRecord): void {
    const { teamId, hash, sizeBytes } = record
    this.#forget(this.path(teamId, hash))
    this.#kept.set(this.path(teamId, hash), record)
    const usage = this.#keptBy.get(teamId) ?? { count: 0, sizeBytes: 0 }
    this.#keptBy.set(teamId, { count: usage.count + 1, sizeBytes: usage.sizeBytes + sizeBytes })
  }

  #forget(file: string): void {
    const record = this.#kept.get(file)
    if (!record) return
    this.#kept.delete(file)
    const usage = this.#keptBy.get(record.teamId)!
    usage.count--
    usage.sizeBytes -= record.sizeBytes
  }
}

function counted(onBytes: (bytes: number) => void): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      try {
        onBytes(chunk.length)
        done(null, chunk)
      } catch (error) {
        done(error as Error)
      }
    },
  })
}
