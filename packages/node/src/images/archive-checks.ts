import { constants, open } from 'node:fs/promises'
import { SandlotError } from '@sandlot/protocol'
import type { ArchiveCheckOptions } from '@sandlot/protocol/node'
import { FairQueue } from '../pool/fair-queue.ts'
import { JailExceeded, runJailed } from './jail.ts'

/** For all teams together. */
const MAX_CONCURRENT = 2
/** Timeout of a check; guest/imager also limits itself to two minutes of processor time. */
const TIMEOUT_MS = 5 * 60_000
const MAX_WAIT_MS = 10 * 60_000
const MAX_REASON = 700

interface Waiting {
  owner: string
  /** Archives of the owner at a time. */
  maxConcurrent: number
  go: () => void
}

/**
 * Checks archives that teams send for COPY steps, in turns. A jailed program reads the archives; this process only reads
 * the answer of the program.
 */
export class ArchiveChecks {
  readonly #imagerPath: string
  readonly #waiting = new FairQueue<Waiting>()
  /** Owners of the archives that are being checked, one entry for each archive. */
  readonly #busy: string[] = []

  constructor(imagerPath: string) {
    this.#imagerPath = imagerPath
  }

  /** @throws SandlotError invalid_request with what is wrong, sandbox_capacity_unavailable */
  async check(file: string, options: ArchiveCheckOptions): Promise<void> {
    await this.#turn(options)
    try {
      await checkArchive(this.#imagerPath, file, options)
    } finally {
      this.#busy.splice(this.#busy.indexOf(options.owner), 1)
      this.#startNext()
    }
  }

  #turn({ owner, maxConcurrent }: ArchiveCheckOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = () => {
        clearTimeout(timer)
        resolve()
      }
      const waiting = { owner, maxConcurrent, go }
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
    const countOf = (owner: string) => this.#busy.filter((other) => other === owner).length
    while (this.#busy.length < MAX_CONCURRENT) {
      const next = this.#waiting.take(({ owner, maxConcurrent }) => countOf(owner) < maxConcurrent)
      if (!next) return
      this.#busy.push(next.owner)
      next.go()
    }
  }
}

async function checkArchive(
  imagerPath: string,
  file: string,
  { maxEntries, maxBytes }: ArchiveCheckOptions,
): Promise<void> {
  const stdin = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW)
  const args = ['-max-entries', String(maxEntries), '-max-bytes', String(maxBytes)]
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
