import { constants, open } from 'node:fs/promises'
import { SandlotError } from '@sandlot/protocol'
import { FairQueue } from '../pool/fair-queue.ts'
import { JailExceeded, runJailed } from './jail.ts'

/** Limits of an archive for a COPY step. */
const LIMITS = { maxEntries: 300_000, maxBytes: 16 * 2 ** 30 }
const MAX_CONCURRENT = 2
/** Timeout of a check; guest/imager also limits itself to two minutes of processor time. */
const TIMEOUT_MS = 5 * 60_000
const MAX_WAIT_MS = 10 * 60_000
const MAX_REASON = 700

export type ArchiveLimits = typeof LIMITS

interface Waiting {
  owner: string
  go: () => void
}

/**
 * Checks archives that teams send for COPY steps. A jailed program reads the archives; this process only reads the
 * program's answer. Teams take turns, each with one archive at a time.
 */
export class ArchiveChecks {
  readonly #imagerPath: string
  readonly #waiting = new FairQueue<Waiting>()
  readonly #busy = new Set<string>()

  constructor(imagerPath: string) {
    this.#imagerPath = imagerPath
  }

  /** @throws SandlotError invalid_request with what is wrong, sandbox_capacity_unavailable */
  async check(file: string, owner: string, limits = LIMITS): Promise<void> {
    await this.#turn(owner)
    try {
      await checkArchive(this.#imagerPath, file, limits)
    } finally {
      this.#busy.delete(owner)
      this.#startNext()
    }
  }

  #turn(owner: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = () => {
        clearTimeout(timer)
        resolve()
      }
      const waiting = { owner, go }
      const timer = setTimeout(() => {
        this.#waiting.remove(owner, waiting)
        reject(
          new SandlotError(
            'sandbox_capacity_unavailable',
            'this machine is busy with other archives; try again soon',
          ),
        )
      }, MAX_WAIT_MS)
      this.#waiting.add(owner, waiting)
      this.#startNext()
    })
  }

  #startNext(): void {
    while (this.#busy.size < MAX_CONCURRENT) {
      const next = this.#waiting.take(({ owner }) => !this.#busy.has(owner))
      if (!next) return
      this.#busy.add(next.owner)
      next.go()
    }
  }
}

async function checkArchive(imagerPath: string, file: string, limits: ArchiveLimits): Promise<void> {
  const stdin = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW)
  const args = ['-max-entries', String(limits.maxEntries), '-max-bytes', String(limits.maxBytes)]
  try {
    const answer = await runJailed(imagerPath, ['check', ...args], { stdin, timeoutMs: TIMEOUT_MS })
    const { refusal } = answer as { refusal?: unknown }
    if (typeof refusal !== 'string') throw new Error('imager check gave an invalid answer')
    if (refusal) throw refuse(refusal.slice(0, MAX_REASON).replaceAll(/\p{C}/gu, '?'))
  } catch (error) {
    if (error instanceof JailExceeded) throw refuse('it takes too much time or memory to read')
    throw error
  } finally {
    await stdin.close()
  }
}

const refuse = (why: string): SandlotError =>
  new SandlotError('invalid_request', `the archive is refused: ${why}`)
