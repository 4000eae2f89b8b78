import { SandlotError } from '@sandlot/protocol'
import type { AcquireOptions } from '@sandlot/protocol/node'
import { FairQueue } from './fair-queue.ts'
import type { RecentDemand } from './recent-demand.ts'

const NO_DEMAND = { record: () => {}, target: () => 0 }

const WAIT_TIMEOUT_MS = 120_000
const MAX_FAILURES = 3
const RETRY_AFTER_FAILURE_MS = 1_000
/** Retrying cannot help with these errors. */
const FINAL_ERRORS: readonly string[] = [
  'sandbox_capacity_unavailable',
  'firewall_unavailable',
  'disk_full',
  'checkpoint_damaged',
]
/** Delay before a refill, so that the first command of the sandbox that was just started can use the processor. */
const REFILL_DELAY_MS = 60

export interface WarmPoolOptions<M> {
  /** Restores one machine; urgent when a caller waits for it. */
  start: (buildId: string, options: { isUrgent: boolean }) => Promise<M>
  /** Maximum number of concurrent restores, which are CPU-bound. */
  concurrency: number
  /** Demand for a build, which decides how many machines to keep ready. */
  demandFor: (buildId: string) => Pick<RecentDemand, 'record' | 'target'>
  /** Maximum stock of all builds together, without those that are always in stock. */
  maxStock: number
  /** Whether a build's stock does not count towards `maxStock` and is never given up. */
  isAlwaysInStock: (buildId: string) => boolean
  /** Ends a machine that is no longer needed. */
  discard: (machine: M) => void
  /** @returns why nothing may be started now, e.g. too little memory */
  shortage: () => SandlotError | undefined
  /** Like `shortage`, for stock that is not always kept, and for which nothing is freed. */
  stockShortage: () => SandlotError | undefined
  onError: (error: unknown) => void
}

interface Waiter<M> {
  lane: Lane<M>
  owner: string
  resolve: (machine: M) => void
  reject: (error: SandlotError) => void
  timer: NodeJS.Timeout
}

interface Lane<M> {
  key: string
  ready: M[]
  /**
   * Number of callers that opened a temporary lane, which closes when the last of them is done. Undefined: the lane is
   * permanent.
   */
  borrowers?: number
  /** Number of waiters. */
  waiting: number
  starting: number
  failures: number
  demand: Pick<RecentDemand, 'record' | 'target'>
  /** Sequence number of the last request, over all lanes. */
  usedAt: number
}

/**
 * Machines that are restored in advance. Callers get one at once or wait in a queue, in which owners take turns; the
 * queue is served before the stock is filled.
 */
export class WarmPool<M> {
  readonly #options: WarmPoolOptions<M>
  readonly #lanes = new Map<string, Lane<M>>()
  readonly #queue = new FairQueue<Waiter<M>>()
  #starting = 0
  #uses = 0
  #isClosed = false
  #retry: NodeJS.Timeout | undefined
  #refill: NodeJS.Timeout | undefined

  constructor(options: WarmPoolOptions<M>) {
    this.#options = options
  }

  /** Starts to keep `buildId` in stock. */
  open(buildId: string, adopted: M[] = []): void {
    const demand = this.#options.demandFor(buildId)
    this.#lanes.set(buildId, {
      key: buildId,
      ready: adopted,
      waiting: 0,
      starting: 0,
      failures: 0,
      demand,
      usedAt: 0,
    })
    this.#fill()
  }

  has(buildId: string): boolean {
    return this.#lanes.has(buildId)
  }

  /** Counts a request in advance, because one is likely to come soon. */
  expect(buildId: string): void {
    const lane = this.#lanes.get(buildId)
    if (lane) this.#record(lane)
    this.#fill()
  }

  /** Stops keeping `buildId` in stock. @returns its stock, which the caller must end */
  shut(buildId: string): M[] {
    const lane = this.#lanes.get(buildId)
    if (!lane) return []
    this.#lanes.delete(buildId)
    this.#rejectAll(
      (waiter) => waiter.lane === lane,
      new SandlotError('not_found', `'${buildId}' was deleted`),
    )
    return lane.ready.splice(0)
  }

  /** Takes a machine of a build that is not kept in stock, through the queue of all starts. */
  async takeOnce(key: string, options: Pick<AcquireOptions, 'owner'>): Promise<M> {
    let lane = this.#lanes.get(key)
    if (!lane) {
      lane = {
        key,
        ready: [],
        borrowers: 0,
        waiting: 0,
        starting: 0,
        failures: 0,
        demand: NO_DEMAND,
        usedAt: 0,
      }
      this.#lanes.set(key, lane)
    }
    if (lane.borrowers === undefined) return this.take(key, options)
    lane.borrowers++
    try {
      return await this.take(key, options)
    } finally {
      if (--lane.borrowers === 0) this.#lanes.delete(key)
    }
  }

  take(buildId: string, { owner }: Pick<AcquireOptions, 'owner'>): Promise<M> {
    const lane = this.#lanes.get(buildId)
    if (!lane) throw new SandlotError('not_found', `build '${buildId}' is not on this machine`)
    this.#record(lane)
    const machine = lane.ready.shift()
    if (machine !== undefined) {
      this.#refillSoon()
      return Promise.resolve(machine)
    }
    const shortage = this.#options.shortage()
    if (shortage) return Promise.reject(shortage)
    if (this.#isClosed) return Promise.reject(isShuttingDown())
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#queue.remove(owner, waiter)
        lane.waiting--
        reject(
          new SandlotError(
            'sandbox_capacity_unavailable',
            `no sandbox could be started within ${WAIT_TIMEOUT_MS / 1000} s: this machine is overloaded`,
            { retryAfterSeconds: 10 },
          ),
        )
      }, WAIT_TIMEOUT_MS)
      const waiter: Waiter<M> = { lane, owner, resolve, reject, timer }
      this.#queue.add(owner, waiter)
      lane.waiting++
      this.#fill()
    })
  }

  /** Removes machines that have died. */
  drop(isMatch: (machine: M) => boolean): void {
    for (const lane of this.#lanes.values()) lane.ready = lane.ready.filter((machine) => !isMatch(machine))
    this.#fill()
  }

  ready(): M[] {
    return [...this.#lanes.values()].flatMap((lane) => lane.ready)
  }

  /** Removes and returns machines that exceed the demand. */
  surplus(): M[] {
    return [...this.#lanes.values()].flatMap((lane) => lane.ready.splice(lane.demand.target()))
  }

  /** Removes and returns a machine that can be given up, of the build with the largest stock. */
  takeSpare(): M | undefined {
    const [most] = this.#spareLanes().sort((a, b) => b.ready.length - a.ready.length)
    return most?.ready.shift()
  }

  /** Whether `takeSpare` would return a machine. */
  get hasSpare(): boolean {
    return this.#spareLanes().some(({ ready }) => ready.length > 0)
  }

  /** Adjusts the stock to the demand; called periodically, because demand changes with time. */
  refill(): void {
    this.#fill()
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#retry)
    clearTimeout(this.#refill)
    this.#rejectAll(() => true, isShuttingDown())
  }

  /** Removes the matching waiter whose turn is next. */
  #shift(isMatch: (waiter: Waiter<M>) => boolean): Waiter<M> | undefined {
    const waiter = this.#queue.take(isMatch)
    if (!waiter) return undefined
    clearTimeout(waiter.timer)
    waiter.lane.waiting--
    return waiter
  }

  #rejectAll(isMatch: (waiter: Waiter<M>) => boolean, error: SandlotError): void {
    for (let waiter = this.#shift(isMatch); waiter; waiter = this.#shift(isMatch)) waiter.reject(error)
  }

  #refillSoon(): void {
    this.#refill ??= setTimeout(() => {
      this.#refill = undefined
      this.#fill()
    }, REFILL_DELAY_MS)
  }

  #fill(): void {
    while (!this.#isClosed && this.#starting < this.#options.concurrency) {
      const next = this.#next()
      if (!next) return
      this.#start(next)
    }
  }

  #next(): Lane<M> | undefined {
    const waiting = this.#nextWaiting()
    if (waiting) return waiting
    if (this.#retry || this.#options.shortage()) return undefined
    const isWanted = (lane: Lane<M>) => lane.ready.length + lane.starting < lane.demand.target()
    const always = [...this.#lanes.values()].find(
      (lane) => this.#options.isAlwaysInStock(lane.key) && isWanted(lane),
    )
    if (always || this.#options.stockShortage()) return always
    const others = this.#spareLanes().sort((a, b) => b.usedAt - a.usedAt)
    const wanted = others.find(isWanted)
    const stock = others.reduce((sum, { ready, starting }) => sum + ready.length + starting, 0)
    if (!wanted || stock < this.#options.maxStock) return wanted
    return this.#discardOlderThan(wanted, others) ? wanted : undefined
  }

  /** Discards a machine of the least recently requested build. @returns false when no other build is older */
  #discardOlderThan({ usedAt }: Lane<M>, byUse: Lane<M>[]): boolean {
    const oldest = byUse.findLast((lane) => lane.ready.length > 0)
    if (!oldest || oldest.usedAt >= usedAt) return false
    this.#options.discard(oldest.ready.shift()!)
    return true
  }

  #record(lane: Lane<M>): void {
    lane.demand.record()
    lane.usedAt = ++this.#uses
  }

  #spareLanes(): Lane<M>[] {
    return [...this.#lanes.values()].filter(
      ({ key, borrowers }) => borrowers === undefined && !this.#options.isAlwaysInStock(key),
    )
  }

  /** Returns the lane of the first waiter, in order of turns, for which no machine is being started yet. */
  #nextWaiting(): Lane<M> | undefined {
    const starting = new Map<Lane<M>, number>()
    for (const { lane } of this.#queue) {
      const ahead = starting.get(lane) ?? lane.starting
      if (ahead === 0) return lane
      starting.set(lane, ahead - 1)
    }
    return undefined
  }

  async #start(lane: Lane<M>): Promise<void> {
    this.#starting++
    lane.starting++
    try {
      const machine = await this.#options.start(lane.key, { isUrgent: lane.waiting >= lane.starting })
      lane.failures = 0
      const waiter = this.#shift((other) => other.lane === lane)
      if (waiter) waiter.resolve(machine)
      else if (this.#lanes.get(lane.key) === lane && lane.borrowers === undefined) lane.ready.push(machine)
      else this.#options.discard(machine)
    } catch (error) {
      this.#failed(lane, error as SandlotError)
    } finally {
      this.#starting--
      lane.starting--
      this.#fill()
    }
  }

  #failed(lane: Lane<M>, error: SandlotError): void {
    // the build was deleted during the start, so no caller waits and no retry is needed
    if (this.#lanes.get(lane.key) !== lane) return
    this.#options.onError(error)
    lane.failures++
    const isOfLane = (waiter: Waiter<M>) => waiter.lane === lane
    if (FINAL_ERRORS.includes(error.errorName)) this.#rejectAll(isOfLane, error)
    else if (lane.failures >= MAX_FAILURES) this.#shift(isOfLane)?.reject(error)
    else this.#queue.postpone(isOfLane)
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      this.#fill()
    }, RETRY_AFTER_FAILURE_MS)
  }
}

const isShuttingDown = (): SandlotError =>
  new SandlotError('server_draining', 'the server is shutting down', { retryAfterSeconds: 5 })
