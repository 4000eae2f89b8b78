import { SandlotError } from '@sandlot/protocol'
import { expect, test } from 'vitest'
import { Demand } from './demand.ts'
import { WarmPool } from './warm-pool.ts'

const settled = () => new Promise((resolve) => setTimeout(resolve, 20))

function poolOf(
  options: {
    min?: number
    max?: number
    shortage?: () => SandlotError | undefined
    fail?: () => boolean
  } = {},
) {
  const state = { started: 0, running: 0, peak: 0 }
  const pool = new WarmPool<number>({
    concurrency: 2,
    async start() {
      state.peak = Math.max(state.peak, ++state.running)
      await new Promise((resolve) => setTimeout(resolve, 1))
      state.running--
      if (options.fail?.()) throw new SandlotError('sandbox_create_failed', 'no luck')
      return ++state.started
    },
    demandFor: () => new Demand({ min: options.min ?? 2, max: options.max ?? 2 }),
    discard: () => {},
    shortage: options.shortage ?? (() => undefined),
    onError: () => {},
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
  await Promise.all(Array.from({ length: 20 }, (_, i) => pool.take('b').then(() => order.push(i))))
  expect(order).toEqual(Array.from({ length: 20 }, (_, i) => i))
  expect(state.peak).toBe(2)
  pool.close()
})

test('with too little memory the stock is still handed out, then takers get the shortage at once', async () => {
  let isShort = false
  const shortage = () => (isShort ? new SandlotError('sandbox_capacity_unavailable', 'no memory') : undefined)
  const { pool } = poolOf({ min: 1, max: 1, shortage })
  pool.open('b')
  await settled()
  isShort = true
  await expect(pool.take('b')).resolves.toBe(1)
  await expect(pool.take('b')).rejects.toThrow('no memory')
  pool.close()
})

test('a taker gets the error after three failed starts, and the pool goes on when starts succeed again', async () => {
  let isFailing = true
  const { pool } = poolOf({ fail: () => isFailing })
  pool.open('b')
  await expect(pool.take('b')).rejects.toThrow('no luck')
  isFailing = false
  await expect(pool.take('b')).resolves.toBeTypeOf('number')
  pool.close()
})

test('closing rejects who waits', async () => {
  const { pool } = poolOf({ min: 0, max: 0 })
  pool.open('b')
  const taken = pool.take('b')
  pool.close()
  await expect(taken).rejects.toThrow('shutting down')
})

test('a build that was never opened is not found', () => {
  const { pool } = poolOf()
  expect(() => pool.take('nope')).toThrow("build 'nope' is not on this machine")
})
