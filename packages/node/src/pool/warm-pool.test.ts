import { setImmediate as nextTurn } from 'node:timers/promises'
import { SandlotError } from '@sandlot/protocol'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { RecentDemand } from './recent-demand.ts'
import { WarmPool } from './warm-pool.ts'

const A = { owner: 'a' }
const B = { owner: 'b' }

/** Longer than the delay of a refill, shorter than that of a retry. */
const REFILLED_MS = 80
/** Starts of all pools that have not ended. */
let running = 0

// only the delays of the pool are faked: starts end in real turns of the event loop
beforeAll(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
afterAll(() => void vi.useRealTimers())

/** Waits for the delay of a refill and the end of all starts. */
async function settled(): Promise<void> {
  await vi.advanceTimersByTimeAsync(REFILLED_MS)
  do await nextTurn()
  while (running > 0)
}

function poolOf(
  options: {
    min?: number
    max?: number
    maxStock?: number
    shortage?: () => SandlotError | undefined
    stockShortage?: () => SandlotError | undefined
    fail?: () => boolean | SandlotError
    discard?: (machine: number) => void
    onError?: (error: unknown) => void
  } = {},
) {
  const state = { started: 0, running: 0, peak: 0 }
  const pool = new WarmPool<number>({
    concurrency: 2,
    async start() {
      running++
      state.peak = Math.max(state.peak, ++state.running)
      await nextTurn()
      state.running--
      running--
      state.started++
      const failure = options.fail?.()
      if (failure instanceof SandlotError) throw failure
      if (failure) throw new SandlotError('sandbox_create_failed', 'no luck')
      return state.started
    },
    demandFor: () => new RecentDemand({ min: options.min ?? 2, max: options.max ?? 2 }),
    maxStock: options.maxStock ?? 100,
    isAlwaysInStock: (key) => key === 'base',
    discard: options.discard ?? (() => {}),
    shortage: options.shortage ?? (() => undefined),
    stockShortage: options.stockShortage ?? (() => undefined),
    onError: options.onError ?? (() => {}),
  })
  return { pool, state }
}

test('an opened build is filled to its target and no further', async () => {
  const { pool, state } = poolOf({ min: 3, max: 3 })
  pool.open('b')
  await settled()
  expect(pool.ready()).toHaveLength(3)
  expect(state.started).toBe(3)
  pool.close()
})

test('a burst beyond the stock is served in order, with at most `concurrency` starts at a time', async () => {
  const { pool, state } = poolOf()
  pool.open('b')
  const order: number[] = []
  await Promise.all(Array.from({ length: 20 }, (_, i) => pool.take('b', A).then(() => order.push(i))))
  expect(order).toEqual(Array.from({ length: 20 }, (_, i) => i))
  expect(state.peak).toBe(2)
  pool.close()
})

/** Takes machines in this order. @returns the position at which each owner's first request was served */
async function placesOf(takes: Array<{ owner: string; once?: string }>): Promise<Record<string, number>> {
  const { pool } = poolOf({ min: 0, max: 0 })
  pool.open('b')
  const order: string[] = []
  await Promise.all(
    takes.map(async ({ owner, once }) => {
      await (once ? pool.takeOnce(once, { owner }) : pool.take('b', { owner }))
      order.push(owner)
    }),
  )
  pool.close()
  return Object.fromEntries([...new Set(order)].map((owner) => [owner, order.indexOf(owner) + 1]))
}

const sixty = Array.from({ length: 60 }, () => A)

test('a request behind sixty of another team is served next', async () => {
  expect((await placesOf([...sixty, B])).b).toBeLessThanOrEqual(2)
})

test('a request for another source behind sixty of another team is served next', async () => {
  // two are already being started for the other team
  expect((await placesOf([...sixty, { ...B, once: 'own' }])).b).toBeLessThanOrEqual(3)
})

test('a team with requests for sixty sources gets no additional turns', async () => {
  const many = sixty.map(({ owner }, i) => ({ owner, once: `snapshot-${i}` }))
  expect((await placesOf([...many, B])).b).toBeLessThanOrEqual(3)
})

test("a team whose machines fail to start does not use up the other team's turns", async () => {
  const state = { failed: 0 }
  const pool = new WarmPool<string>({
    concurrency: 1,
    async start(buildId) {
      if (buildId === 'good') return buildId
      state.failed++
      throw new SandlotError('sandbox_create_failed', 'no luck')
    },
    demandFor: () => new RecentDemand({ min: 0, max: 0 }),
    maxStock: 100,
    isAlwaysInStock: () => false,
    discard: () => {},
    shortage: () => undefined,
    stockShortage: () => undefined,
    onError: () => {},
  })
  pool.open('good')
  const bad = Promise.allSettled(sixty.map(() => pool.takeOnce('bad', A)))
  await pool.take('good', B)
  expect(state.failed).toBeLessThanOrEqual(2)
  pool.close()
  await bad
})

test('a request that comes while the server shuts down is told so', async () => {
  const { pool } = poolOf({ min: 0, max: 0 })
  pool.open('b')
  pool.close()
  await expect(pool.take('b', A)).rejects.toMatchObject({ errorName: 'server_draining' })
})

test('with too little memory the stock is still handed out, then requests fail at once', async () => {
  let isShort = false
  const shortage = () => (isShort ? new SandlotError('sandbox_capacity_unavailable', 'no memory') : undefined)
  const { pool } = poolOf({ min: 1, max: 1, shortage })
  pool.open('b')
  await settled()
  isShort = true
  await expect(pool.take('b', A)).resolves.toBe(1)
  await expect(pool.take('b', A)).rejects.toThrow('no memory')
  pool.close()
})

test('a request fails after three failed starts, and later requests succeed when starts do', async () => {
  let isFailing = true
  const { pool } = poolOf({ fail: () => isFailing })
  pool.open('b')
  await expect(pool.take('b', A)).rejects.toThrow('no luck')
  isFailing = false
  await expect(pool.take('b', A)).resolves.toBeTypeOf('number')
  pool.close()
})

test('all requests for a damaged checkpoint fail at once, without a retry', async () => {
  const damaged = new SandlotError('checkpoint_damaged', 'a bit flipped')
  const { pool, state } = poolOf({ min: 0, max: 0, fail: () => damaged })
  pool.open('b')
  const taken = await Promise.allSettled(Array.from({ length: 5 }, () => pool.take('b', A)))
  for (const { status } of taken) expect(status).toBe('rejected')
  expect(state.started).toBeLessThanOrEqual(2)
  pool.close()
})

test('closing rejects waiting requests', async () => {
  const { pool } = poolOf({ min: 0, max: 0 })
  pool.open('b')
  const taken = pool.take('b', A)
  pool.close()
  await expect(taken).rejects.toThrow('shutting down')
})

test('a build that was never opened is not found', () => {
  const { pool } = poolOf()
  expect(() => pool.take('nope', A)).toThrow("build 'nope' is not on this machine")
})

test('one-time requests wait in the queue of all, and have no stock', async () => {
  const { pool, state } = poolOf({ min: 0, max: 0 })
  const taken = await Promise.all(Array.from({ length: 5 }, () => pool.takeOnce('c', A)))
  expect(new Set(taken).size).toBe(5)
  expect(state.peak).toBe(2)
  await settled()
  expect([pool.ready(), state.started]).toEqual([[], 5])
  expect(() => pool.take('c', A)).toThrow("build 'c' is not on this machine")
  pool.close()
})

test('a one-time request for a build in stock is served from the stock', async () => {
  const { pool, state } = poolOf({ min: 1, max: 1 })
  pool.open('b')
  await settled()
  const [machine] = pool.ready()
  expect(await pool.takeOnce('b', A)).toBe(machine)
  await settled()
  expect(state.started).toBe(2)
  pool.close()
})

test('a failed one-time request leaves no lane, and the next one starts again', async () => {
  let isFailing = true
  const { pool } = poolOf({ fail: () => isFailing })
  await expect(pool.takeOnce('c', A)).rejects.toThrow('no luck')
  isFailing = false
  await expect(pool.takeOnce('c', A)).resolves.toBeTypeOf('number')
  pool.close()
})

test('shutting a build returns its warm machines, rejects waiting requests and discards machines that are being started', async () => {
  const discarded: number[] = []
  const { pool } = poolOf({ min: 2, max: 2, discard: (machine) => discarded.push(machine) })
  pool.open('b')
  await settled()
  const stock = pool.ready()
  expect(pool.shut('b').sort()).toEqual([...stock].sort())
  expect([pool.ready(), pool.shut('b')]).toEqual([[], []])
  pool.open('d')
  const waiting = pool.take('d', A)
  expect(pool.shut('d')).toEqual([])
  await expect(waiting).rejects.toThrow("'d' was deleted")
  await settled()
  expect(discarded).toHaveLength(2)
  pool.close()
})

test('all builds except the base share one limit of stock', async () => {
  const { pool } = poolOf({ min: 2, max: 2, maxStock: 3 })
  for (const build of ['a', 'b', 'c', 'd', 'base']) pool.open(build)
  await settled()
  expect(pool.ready()).toHaveLength(3 + 2)
  pool.close()
})

test('stock of the most recently requested build replaces that of the least recently requested', async () => {
  const discarded: number[] = []
  const { pool, state } = poolOf({
    min: 1,
    max: 1,
    maxStock: 2,
    discard: (machine) => discarded.push(machine),
  })
  for (const build of ['a', 'b']) {
    pool.open(build)
    pool.expect(build)
    await settled()
  }
  expect([state.started, discarded]).toEqual([2, []])
  pool.open('c')
  await settled()
  expect([state.started, discarded]).toEqual([2, []])
  pool.expect('c')
  await settled()
  expect([state.started, discarded]).toEqual([3, [1]])
  pool.close()
})

test('spare stock can be taken, but not that of the base, and is not filled while memory is short', async () => {
  let isShort = false
  const stockShortage = () =>
    isShort ? new SandlotError('sandbox_capacity_unavailable', 'no memory') : undefined
  const { pool } = poolOf({ min: 2, max: 2, stockShortage })
  for (const build of ['base', 'a', 'b']) pool.open(build)
  await settled()
  isShort = true
  expect(pool.hasSpare).toBe(true)
  for (let i = 0; i < 4; i++) expect(pool.takeSpare()).toBeTypeOf('number')
  expect([pool.hasSpare, pool.takeSpare(), pool.ready().length]).toEqual([false, undefined, 2])
  await pool.take('base', A)
  await settled()
  expect(pool.ready()).toHaveLength(2)
  pool.close()
})

test('a build that is deleted while its stock starts is not an error, and does not delay others', async () => {
  const errors: unknown[] = []
  const { pool, state } = poolOf({
    min: 1,
    max: 1,
    fail: () => pool.has('deleted') === false && state.started === 1,
    onError: (error) => errors.push(error),
  })
  pool.open('deleted')
  pool.shut('deleted')
  await settled()
  pool.open('other')
  await settled()
  expect([errors, pool.ready()]).toEqual([[], [2]])
  pool.close()
})

test('a build that does not start is an error', async () => {
  const errors: unknown[] = []
  const { pool } = poolOf({ min: 1, max: 1, fail: () => true, onError: (error) => errors.push(error) })
  pool.open('b')
  await settled()
  expect(errors).toHaveLength(1)
  pool.close()
})
