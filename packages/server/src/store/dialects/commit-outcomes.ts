import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { isConnectionLoss } from '../postgres-errors.ts'

/** How long to ask for the outcome of a commit. PostgreSQL recovers from a crash within seconds. */
const TIMEOUT_MS = 8_000
const INTERVAL_MS = 200

interface Question {
  transactionId: string
  answer(isCommitted: boolean | undefined): void
}

/**
 * Finds out what became of commits whose answer was lost. It asks over one connection beside the pool, because such commits
 * keep their places in the pool meanwhile, which may be all of them.
 */
export class CommitOutcomes {
  readonly #newClient: () => pg.Client
  readonly #questions = new Set<Question>()
  #isAsking = false

  /** @param newClient of a connection that is not open yet, with timeouts */
  constructor(newClient: () => pg.Client) {
    this.#newClient = newClient
  }

  /** @returns undefined: the database did not come back in time, or no longer knows */
  isCommitted(transactionId: string): Promise<boolean | undefined> {
    return new Promise((resolve) => {
      const question: Question = {
        transactionId,
        answer: (isCommitted) => {
          clearTimeout(timer)
          this.#questions.delete(question)
          resolve(isCommitted)
        },
      }
      const timer = setTimeout(() => question.answer(undefined), TIMEOUT_MS)
      this.#questions.add(question)
      if (!this.#isAsking) void this.#askAll()
    })
  }

  close(): void {
    for (const question of this.#questions) question.answer(undefined)
  }

  async #askAll(): Promise<void> {
    this.#isAsking = true
    while (this.#questions.size > 0) {
      // the database may still be away
      await this.#askOnce().catch(() => {})
      if (this.#questions.size > 0) await sleep(INTERVAL_MS)
    }
    this.#isAsking = false
  }

  async #askOnce(): Promise<void> {
    const client = this.#newClient()
    client.on('error', () => {})
    try {
      await client.connect()
      for (const question of [...this.#questions]) {
        const status = await statusOf(client, question.transactionId)
        if (status === 'committed') question.answer(true)
        else if (status === 'aborted') question.answer(false)
        else if (status === null) question.answer(undefined)
      }
    } finally {
      // a connection that does not answer may not end either
      void client.end().catch(() => {})
    }
  }
}

/** @returns null: the database no longer knows, or never knew as it was restored from an older copy */
async function statusOf(client: pg.Client, transactionId: string): Promise<string | null> {
  try {
    const { rows } = await client.query<{ status: string | null }>(
      'select pg_xact_status($1::text::xid8) as status',
      [transactionId],
    )
    return rows[0]?.status ?? null
  } catch (error) {
    if (isConnectionLoss(error)) throw error
    return null
  }
}
