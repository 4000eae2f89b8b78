import { beforeEach, describe, expect, test } from 'vitest'
import { machineIn } from '../machines/live-machine.fixture.ts'
import type { LiveMachine } from '../machines/machine.ts'
import { DiskGuard } from './disk-guard.ts'

const MB = 2 ** 20
let freeMB: number
let sizeMB: number
let used: Record<string, number>
let dead: Set<string>
let said: Array<[string, string | undefined]>
let roomAsked: number
let machines: LiveMachine[]
let guard: DiskGuard

beforeEach(() => {
  freeMB = 10_000
  sizeMB = 100_000
  used = { a: 100, b: 100 }
  dead = new Set()
  said = []
  roomAsked = 0
  machines = ['a', 'b'].map((machineId) => machineIn('running', machineId))
  guard = new DiskGuard({
    floorBytes: 1000 * MB,
    space: () => ({ freeBytes: freeMB * MB, sizeBytes: sizeMB * MB }),
    running: () => machines.filter(({ isFrozen }) => !isFrozen),
    usedBytes: async ({ machineId }) => used[machineId]! * MB,
    isAlive: ({ machineId }) => !dead.has(machineId),
    stall: async ({ state }) => state.change('stalled'),
    thaw: async ({ state }) => state.change('running'),
    makeRoom: async () => void roomAsked++,
    onStalled: ({ machineId }, reason) => void said.push([machineId, reason]),
    onError: (error) => {
      throw error
    },
  })
})

const frozen = () => machines.filter(({ isFrozen }) => isFrozen).map(({ machineId }) => machineId)
async function lookTwice(written: Record<string, number>): Promise<void> {
  await guard.look()
  for (const [id, bytes] of Object.entries(written)) used[id]! += bytes
  await guard.look()
}

test('no machine is examined while there is room', async () => {
  await lookTwice({ a: 500 })
  expect(frozen()).toEqual([])
  expect(guard.shortage()).toBeUndefined()
  expect(roomAsked).toBe(0)
})

test('below the floor, machines that write are stalled, nothing starts, and the reason contains the numbers', async () => {
  freeMB = 900
  await lookTwice({ a: 1 })
  expect(frozen()).toEqual(['a'])
  expect(said).toEqual([['a', expect.stringContaining('900 MB left; the floor is 1000 MB')]])
  expect(guard.shortage()).toMatchObject({ errorName: 'disk_full' })
  freeMB = 1100
  expect(guard.shortage()).toBeUndefined()
  freeMB = 900
  expect(roomAsked).toBeGreaterThan(0)
})

test('a machine that writes little continues to run until half of the floor is used up', async () => {
  freeMB = 900
  await lookTwice({ a: 0.1 })
  expect(frozen()).toEqual([])
  freeMB = 400
  await lookTwice({ a: 0.1 })
  expect(frozen()).toEqual(['a'])
})

test('the floor of a small disk is a twentieth of it', async () => {
  sizeMB = 10_000
  freeMB = 600
  await lookTwice({ a: 1 })
  expect(frozen()).toEqual([])
  freeMB = 400
  await lookTwice({ a: 1 })
  expect(frozen()).toEqual(['a'])
})

test('a stalled machine is thawed well above the floor, not at the floor', async () => {
  freeMB = 900
  await lookTwice({ a: 1 })
  freeMB = 1100
  await guard.look()
  expect(guard.shortage()).toBeUndefined()
  expect(frozen()).toEqual(['a'])
  freeMB = 1300
  await guard.look()
  expect(frozen()).toEqual([])
  expect(said.at(-1)).toEqual(['a', undefined])
})

test('a machine that a former server left frozen is thawed as soon as there is room', async () => {
  machines[0]!.state.change('frozen')
  guard.adopt(machines[0]!)
  freeMB = 900
  await guard.look()
  expect(frozen()).toEqual(['a'])
  freeMB = 2000
  await guard.look()
  expect(frozen()).toEqual([])
})

test('a machine that died while it was stalled is not thawed', async () => {
  freeMB = 900
  await lookTwice({ a: 1 })
  dead.add('a')
  freeMB = 2000
  await guard.look()
  expect(said).toHaveLength(1)
})

describe('a caller that freezes a machine permanently', () => {
  test('has exclusive use of the machine, which is not thawed afterwards', async () => {
    freeMB = 900
    await lookTwice({ a: 1 })
    await guard.release(machines[0]!, async () => {
      freeMB = 2000
      await guard.look()
      expect(frozen()).toEqual(['a'])
    })
    await guard.look()
    expect(frozen()).toEqual(['a'])
  })

  test('and fails returns the machine to the guard', async () => {
    freeMB = 900
    await lookTwice({ a: 1 })
    const failing = guard.release(machines[0]!, async () => {
      throw new Error('no room')
    })
    await expect(failing).rejects.toThrow('no room')
    freeMB = 2000
    await guard.look()
    expect(frozen()).toEqual([])
  })

  test('is not interrupted by the guard', async () => {
    freeMB = 900
    await guard.look()
    used.a! += 1
    await guard.release(machines[0]!, async () => {
      await guard.look()
      expect(frozen()).toEqual([])
    })
  })
})
