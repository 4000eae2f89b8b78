import { createHmac } from 'node:crypto'
import { DAY_MS, SandlotError } from '@sandlot/protocol'
import type { Logger } from 'pino'
import type { DeriveKey } from '../auth/server-secret.ts'
import { KeyedLock } from '../concurrency/keyed-lock.ts'
import { PendingWork } from '../concurrency/pending-work.ts'
import { TEAM_LIMITS } from '../teams/limits.ts'
import type { IdempotencyRepository, IdempotentRow } from './repository.ts'
import { type Answer, openAnswer, sealAnswer } from './sealed-answer.ts'

/** The official clients allow hyphens, E2B's service does not. */
const KEY = /^[a-z0-9-]{1,255}$/
const LIFETIME_MS = DAY_MS

/** A request of a team that must run only once. */
export interface KeyedRequest {
  teamId: string
  /** Value of the header. */
  key: string
  /** Method, path and body, which must be equal in a repeated request. */
  content: string
}

interface KnownRow extends IdempotentRow {
  isRunning: boolean
}

export interface IdempotencyOptions {
  repository: IdempotencyRepository
  deriveKey: DeriveKey
  logger: Logger
  now: () => number
}

/** Runs each request with an `Idempotency-Key` once, however often clients repeat it (docs/adr/0025). */
export class Idempotency {
  readonly #repository: IdempotencyRepository
  readonly #deriveKey: DeriveKey
  readonly #hashKey: Uint8Array
  readonly #logger: Logger
  readonly #now: () => number
  /**
   * Rows of requests that this process is running, by key. Other rows without an answer belong to processes that died.
   */
  readonly #running = new Map<string, IdempotentRow>()
  readonly #beginning = new KeyedLock()
  readonly #pending = new PendingWork()

  constructor({ repository, deriveKey, logger, now }: IdempotencyOptions) {
    this.#repository = repository
    this.#deriveKey = deriveKey
    this.#hashKey = deriveKey('idempotency hashes')
    this.#logger = logger
    this.#now = now
  }

  /**
   * @param work returns the answer. A failure without effects frees the key; any other error is turned into an answer by
   * `answerOf`
   * @throws SandlotError invalid_request, idempotency_request_mismatch, idempotency_in_progress,
   *   idempotency_outcome_unknown, idempotency_unavailable, and what `work` throws
   */
  async run(
    request: KeyedRequest,
    work: () => Promise<Answer>,
    answerOf: (error: unknown) => { answer: Answer; mayHaveActed: boolean },
  ): Promise<Answer> {
    checkKey(request.key)
    const row: IdempotentRow = {
      teamId: request.teamId,
      keyHash: this.#hash(request.key),
      requestHash: this.#hash(request.content),
      createdAtMs: this.#now(),
    }
    const begun = await this.#beginning.run(runningKeyOf(row), () => this.#begin(row))
    if (begun) return this.#answerAgain(request, row, begun)
    return this.#pending.add(this.#do(request, row, work, answerOf)).finally(() => {
      if (this.#running.get(runningKeyOf(row)) === row) this.#running.delete(runningKeyOf(row))
    })
  }

  /**
   * Inserts the row before the request runs, under a lock of the key.
   * @returns the existing row with this key, if any
   */
  async #begin(row: IdempotentRow): Promise<KnownRow | undefined> {
    // read before the row, because a request that ends in between has an answer in its row
    const isRunning = this.#running.has(runningKeyOf(row))
    try {
      if (!(await this.#repository.insert(row))) {
        const known = await this.#repository.find(row)
        if (known && row.createdAtMs - known.createdAtMs < LIFETIME_MS) return { ...known, isRunning }
        await this.#repository.remove(row)
        await this.#repository.insert(row)
      }
    } catch (cause) {
      throw new SandlotError(
        'idempotency_unavailable',
        'the Idempotency-Key could not be recorded, so nothing was done: try again',
        { cause, retryAfterSeconds: 1 },
      )
    }
    this.#running.set(runningKeyOf(row), row)
    return undefined
  }

  #answerAgain(request: KeyedRequest, row: IdempotentRow, known: KnownRow): Answer {
    if (known.requestHash !== row.requestHash)
      throw new SandlotError(
        'idempotency_request_mismatch',
        'this Idempotency-Key was used for another request: send a new key, or the request as it was',
      )
    if (known.answer !== undefined) return openAnswer(known.answer, this.#sealKey(request))
    if (known.isRunning)
      throw new SandlotError(
        'idempotency_in_progress',
        'the first request with this Idempotency-Key is still running: try again in a moment',
        { retryAfterSeconds: 1 },
      )
    throw new SandlotError(
      'idempotency_outcome_unknown',
      'the server went down during the first request with this Idempotency-Key: check whether it had an effect, then send a new key',
    )
  }

  async #do(
    request: KeyedRequest,
    row: IdempotentRow,
    work: () => Promise<Answer>,
    answerOf: (error: unknown) => { answer: Answer; mayHaveActed: boolean },
  ): Promise<Answer> {
    try {
      const answer = await work()
      await this.#keep(request, row, answer)
      return answer
    } catch (error) {
      const { answer, mayHaveActed } = answerOf(error)
      if (mayHaveActed) await this.#keep(request, row, answer)
      else await this.#repository.remove(row).catch((err) => this.#lost(err))
      throw error
    }
  }

  /** Records the answer. Never fails: if the answer is lost, a repeated request is told that the outcome is unknown. */
  async #keep(request: KeyedRequest, row: IdempotentRow, answer: Answer): Promise<void> {
    await this.#repository
      .setAnswer(row, sealAnswer(answer, this.#sealKey(request)))
      .catch((err) => this.#lost(err))
  }

  #lost(err: unknown): void {
    this.#logger.warn({ err }, 'the outcome of a request with an Idempotency-Key was not recorded')
  }

  /**
   * Derives the sealing key from the caller's Idempotency-Key: answers contain tokens, which the database alone must not
   * reveal.
   */
  #sealKey({ teamId, key }: KeyedRequest): Uint8Array {
    return this.#deriveKey(`idempotent answer of ${teamId} for ${key}`)
  }

  #hash(text: string): string {
    return createHmac('sha256', this.#hashKey).update(text).digest('hex')
  }

  /** Deletes a batch of answers that are too old or too many. @returns how many */
  async prune(): Promise<number> {
    const old = await this.#repository.prune(this.#now() - LIFETIME_MS)
    return old + (await this.#repository.pruneTeams(TEAM_LIMITS.idempotentAnswers))
  }

  /** Waits for answers that are being recorded. */
  settle(timeoutMs: number): Promise<void> {
    return this.#pending.settle(timeoutMs)
  }
}

const runningKeyOf = ({ teamId, keyHash }: IdempotentRow): string => `${teamId} ${keyHash}`

function checkKey(key: string): void {
  if (KEY.test(key)) return
  throw new SandlotError(
    'invalid_request',
    `Idempotency-Key must hold one value of 1 to 255 lower-case ASCII letters, digits or hyphens, but it is '${key.slice(0, 100)}'`,
  )
}
