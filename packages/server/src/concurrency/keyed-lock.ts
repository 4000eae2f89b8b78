import { SandlotError } from '@sandlot/protocol'

const WAIT_TIMEOUT_MS = 30_000
const MAX_WAITERS = 100

/** Runs one piece of work for a key at a time, in order of arrival. At most 100 callers wait, each at most 30 s. */
export class KeyedLock {
  readonly #queues = new Map<string, Array<() => void>>()

  /** @throws SandlotError operation_timeout after 30 s, rate_limited when 100 already wait for the key */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    await this.#acquire(key)
    try {
      return await work()
    } finally {
      this.#release(key)
    }
  }

  #acquire(key: string): Promise<void> {
    const queue = this.#queues.get(key)
    if (!queue) {
      this.#queues.set(key, [])
      return Promise.resolve()
    }
    if (queue.length >= MAX_WAITERS)
      return Promise.reject(
        new SandlotError('rate_limited', `${MAX_WAITERS} requests already wait for '${key}'`, {
          retryAfterSeconds: 1,
        }),
      )
    return new Promise((resolve, reject) => {
      const grant = () => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(() => {
        queue.splice(queue.indexOf(grant), 1)
        reject(
          new SandlotError(
            'operation_timeout',
            `another operation on '${key}' takes longer than ${WAIT_TIMEOUT_MS / 1000} s`,
            { mayHaveActed: false },
          ),
        )
      }, WAIT_TIMEOUT_MS)
      queue.push(grant)
    })
  }

  #release(key: string): void {
    const next = this.#queues.get(key)?.shift()
    if (next) next()
    else this.#queues.delete(key)
  }
}
