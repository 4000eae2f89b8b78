import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { LiveMachine, MachineSource } from './machine.ts'
import { type MachineKind, PreparedKernels } from './prepared-kernels.ts'

const MINUTE_MS = 60_000
let made: MachineKind[]
let ended: string[]
let dead: Set<string>
let isShort: boolean
let failures: number
let machines: PreparedKernels

beforeEach(() => {
  vi.useFakeTimers()
  made = []
  ended = []
  dead = new Set()
  isShort = false
  failures = 0
  machines = new PreparedKernels({
    async prepare(kind) {
      if (failures-- > 0) throw new Error('no slot')
      made.push(kind)
      return { machineId: `m${made.length}` } as LiveMachine
    },
    guestDir: '/guest',
    isAlive: ({ machineId }) => !dead.has(machineId),
    end: async (machineId) => void ended.push(machineId),
    shortage: () => isShort || undefined,
    onError: () => {},
  })
})
afterEach(() => vi.useRealTimers())

const source = (change: Partial<MachineSource> = {}): MachineSource => ({
  buildId: 'b',
  imagePath: '/image',
  cpuCount: 2,
  memoryMB: 512,
  diskSizeMB: 1024,
  ...change,
})
const take = (change?: Partial<MachineSource>) => machines.claim(source(change))?.machineId
const aWhile = () => vi.advanceTimersByTimeAsync(1_000)

test('the next request for a kind gets the machine, and another one is prepared', async () => {
  expect(take()).toBeUndefined()
  await aWhile()
  expect(take()).toBe('m1')
  expect(take()).toBeUndefined()
  await aWhile()
  expect(take({ buildId: 'other', checkpointDir: '/c', guestDir: '/guest' })).toBe('m2')
})

test.each<[string, Partial<MachineSource>]>([
  ['image', { imagePath: '/other' }],
  ['envd', { guestDir: '/other' }],
  ['memory', { memoryMB: 1024 }],
  ['processors', { cpuCount: 1 }],
  ['disk', { diskSizeMB: 2048 }],
])('a request with another %s is of another kind', async (_what, change) => {
  take()
  await aWhile()
  expect(take(change)).toBeUndefined()
})

test('concurrent requests do not wait for preparation', async () => {
  take()
  await aWhile()
  take()
  await vi.advanceTimersByTimeAsync(200)
  take()
  await vi.advanceTimersByTimeAsync(200)
  expect(made).toHaveLength(1)
  await aWhile()
  expect(made).toHaveLength(2)
})

test('machines of the most recently requested kinds are kept', async () => {
  for (const memoryMB of [1, 2, 3, 4, 5]) {
    take({ memoryMB })
    await aWhile()
  }
  expect(ended).toEqual(['m1'])
  expect(take({ memoryMB: 5 })).toBe('m5')
  expect(take({ memoryMB: 1 })).toBeUndefined()
})

test('a machine ends when its kind is not requested for five minutes', async () => {
  take()
  await aWhile()
  vi.advanceTimersByTime(4 * MINUTE_MS)
  machines.dropStale()
  expect(ended).toEqual([])
  vi.advanceTimersByTime(MINUTE_MS)
  machines.dropStale()
  expect(ended).toEqual(['m1'])
  expect(take()).toBeUndefined()
})

test('a dead machine is not handed out', async () => {
  take()
  await aWhile()
  dead.add('m1')
  expect(take()).toBeUndefined()
  expect(ended).toEqual(['m1'])
})

test('nothing is prepared while memory is short, and the oldest machine can be dropped', async () => {
  take()
  await aWhile()
  take({ memoryMB: 1 })
  isShort = true
  await aWhile()
  expect(made).toHaveLength(1)
  expect(await machines.dropOldest()).toBe(true)
  expect(await machines.dropOldest()).toBe(false)
  expect(ended).toEqual(['m1'])
})

test('a failed preparation is repeated at the next request', async () => {
  failures = 1
  take()
  await aWhile()
  expect(made).toHaveLength(0)
  expect(take()).toBeUndefined()
  await aWhile()
  expect(take()).toBe('m1')
})

test('close ends all machines and prepares no more', async () => {
  take()
  await aWhile()
  take({ memoryMB: 1 })
  await machines.close()
  await aWhile()
  expect(ended).toEqual(['m1'])
  expect(made).toHaveLength(1)
})
