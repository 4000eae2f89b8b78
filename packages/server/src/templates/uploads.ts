import { randomBytes, randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, readdir, rename, rm, stat, statfs, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { type Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { SandlotError } from '@sandlot/protocol'
import { checkArchive } from './check-archive.ts'

const WRITING = '.writing-'
const TICKET_MS = 3600_000
const MAX_TICKETS = 10_000
const MAX_AGE_MS = 7 * 24 * 3600_000
const MAX_ARCHIVE_BYTES = 4 * 2 ** 30
const LIMITS = { maxEntries: 300_000, maxBytes: 16 * 2 ** 30 }
const SPARE_BYTES = 256 * 2 ** 20

interface Ticket {
  teamId: string
  hash: string
  expiresAtMs: number
}

/**
 * Archives that COPY steps refer to, by the hash that their owner's client computed. It covers what the tar does not
 * hold (sizes of folders), so it cannot be checked here: an archive is only ever found by the team that sent it.
 */
export class Uploads {
  readonly #dir: string
  readonly #now: () => number
  readonly #tickets = new Map<string, Ticket>()

  /** @param dir `<home>/uploads` */
  constructor(dir: string, now: () => number = Date.now) {
    this.#dir = dir
    this.#now = now
  }

  /** Makes the folder, and removes what a crash left half written and what was not used for a week. */
  async prepare(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    for (const name of await readdir(this.#dir)) {
      const file = join(this.#dir, name)
      const isOld = this.#now() - (await stat(file)).mtimeMs > MAX_AGE_MS
      if (name.startsWith(WRITING) || isOld) await rm(file, { force: true })
    }
  }

  path = (teamId: string, hash: string): string => join(this.#dir, `${teamId}-${hash}.tar`)

  /** Asking counts as use. */
  async has(teamId: string, hash: string): Promise<boolean> {
    const now = new Date(this.#now())
    return utimes(this.path(teamId, hash), now, now).then(
      () => true,
      () => false,
    )
  }

  /** Allows one upload within the hour, without a key: clients send none with it. @returns what `receive` takes */
  ticket(teamId: string, hash: string): string {
    const nowMs = this.#now()
    for (const [token, { expiresAtMs }] of this.#tickets) {
      if (expiresAtMs > nowMs && this.#tickets.size < MAX_TICKETS) break
      this.#tickets.delete(token)
    }
    const token = randomBytes(24).toString('hex')
    this.#tickets.set(token, { teamId, hash, expiresAtMs: nowMs + TICKET_MS })
    return token
  }

  /** @throws SandlotError forbidden, payload_too_large, disk_full, invalid_request when it is not a tar to be had */
  async receive(token: string, content: Readable): Promise<void> {
    const ticket = this.#tickets.get(token)
    if (!ticket || ticket.expiresAtMs < this.#now())
      throw new SandlotError(
        'forbidden',
        'this address for an upload is not valid any more: ask for a new one',
      )
    const writing = join(this.#dir, `${WRITING}${randomUUID()}`)
    const { bavail, bsize } = await statfs(this.#dir)
    const maxBytes = Math.min(MAX_ARCHIVE_BYTES, bavail * bsize - SPARE_BYTES)
    try {
      await pipeline(content, bounded(maxBytes), createWriteStream(writing, { mode: 0o600 }))
      await checkArchive(writing, LIMITS)
      await rename(writing, this.path(ticket.teamId, ticket.hash))
      this.#tickets.delete(token)
    } catch (error) {
      await rm(writing, { force: true })
      throw error
    }
  }
}

function bounded(maxBytes: number): Transform {
  let received = 0
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      received += chunk.length
      if (received <= maxBytes) return done(null, chunk)
      done(
        maxBytes < MAX_ARCHIVE_BYTES
          ? new SandlotError('disk_full', 'the disk of this machine has no room for this archive')
          : new SandlotError(
              'payload_too_large',
              `an archive of a COPY has at most ${MAX_ARCHIVE_BYTES / 2 ** 30} GiB`,
            ),
      )
    },
  })
}
