import { ToolFailure } from './failure.ts'

/** Limits how many calls run at a time, in all and for one owner. */
export class CallLimits {
  readonly #maxCalls: number
  readonly #maxPerOwner: number
  readonly #running = new Map<string, number>()
  #total = 0

  constructor(maxCalls: number, maxPerOwner: number) {
    this.#maxCalls = maxCalls
    this.#maxPerOwner = maxPerOwner
  }

  /**
   * Runs `work` unless too many calls run already.
   *
   * @param isRead resolves when the answer need not be kept any more; until then the call counts. Default: it need not be kept
   * @throws ToolFailure
   */
  async run<T>(owner: string, work: () => Promise<T>, isRead?: Promise<void>): Promise<T> {
    const own = this.#running.get(owner) ?? 0
    if (own >= this.#maxPerOwner)
      throw new ToolFailure(
        `${own} calls of this team run already, which is the limit: wait until some have ended`,
      )
    if (this.#total >= this.#maxCalls)
      throw new ToolFailure('the server runs as many tool calls as it can: wait some seconds and repeat')
    this.#running.set(owner, own + 1)
    this.#total++
    try {
      return await work()
    } finally {
      if (isRead) void isRead.then(() => this.#end(owner))
      else this.#end(owner)
    }
  }

  #end(owner: string): void {
    this.#total--
    const left = this.#running.get(owner)! - 1
    if (left === 0) this.#running.delete(owner)
    else this.#running.set(owner, left)
  }
}
