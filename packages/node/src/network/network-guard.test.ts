import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { LiveMachine } from '../machines/machine.ts'
import { NetworkGuard } from './network-guard.ts'

let dir: string
let machines: LiveMachine[]
/** Why the table does not hold, and how many of the next installations fail. */
let fault: string | undefined
let failures: number
let said: string[]
/** Id of a machine that cannot be frozen. */
let unfreezable: string | undefined
let guard: NetworkGuard

const machine = (machineId: string) => ({ machineId, isFrozen: false, isEnding: false }) as LiveMachine
const faultFile = () => readFile(join(dir, 'fault'), 'utf8').catch(() => undefined)

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'network-guard-'))
  machines = [machine('a'), machine('b')]
  fault = undefined
  failures = 0
  said = []
  unfreezable = undefined
  guard = new NetworkGuard({
    firewall: {
      examine: async () => fault,
      install: async () => {
        if (failures-- > 0) throw new Error('nft says no')
        fault = undefined
      },
    },
    faultFile: join(dir, 'fault'),
    running: () => machines.filter(({ isFrozen }) => !isFrozen),
    freeze: async (one) => {
      if (one.machineId === unfreezable) throw new Error('its kernel does not answer')
      one.isFrozen = true
    },
    thaw: async (one) => {
      expect(one.isFrozen, one.machineId).toBe(true)
      one.isFrozen = false
    },
    onStalled: ({ machineId }, reason) => void said.push(`${machineId}: ${reason ?? 'goes on'}`),
    onFault: (reason) => void said.push(`fault: ${reason}`),
    onMended: () => void said.push('mended'),
    onError: (error) => void said.push(`error: ${error}`),
  })
})
afterEach(() => rm(dir, { recursive: true, force: true }))

test('while the table holds nothing happens', async () => {
  await guard.look()
  expect(said).toEqual([])
})

test('every machine stands still and people are told, and all go on once the table stands again', async () => {
  fault = 'gone'
  await guard.look()
  expect(said).toEqual(['fault: gone', 'a: gone', 'b: gone', 'mended', 'a: goes on', 'b: goes on'])
  expect(machines.map(({ isFrozen }) => isFrozen)).toEqual([false, false])
  expect(await faultFile()).toBeUndefined()
})

test('a table that cannot be installed keeps them still until it can; other processes can read why', async () => {
  fault = 'gone'
  failures = 2
  for (let i = 0; i < 2; i++) await expect(guard.look()).rejects.toThrow('nft says no')
  expect(machines.every(({ isFrozen }) => isFrozen)).toBe(true)
  expect(await faultFile()).toBe('gone')
  // one that was being started meanwhile
  machines.push(machine('c'))
  failures = 1
  await expect(guard.look()).rejects.toThrow('nft says no')
  expect(machines.every(({ isFrozen }) => isFrozen)).toBe(true)
  await guard.look()
  expect(machines.some(({ isFrozen }) => isFrozen)).toBe(false)
  expect(said.filter((line) => line.startsWith('fault'))).toHaveLength(1)
})

test('a machine that is paused meanwhile stays frozen', async () => {
  fault = 'gone'
  failures = 1
  await expect(guard.look()).rejects.toThrow()
  await guard.leave(machines[0]!, async () => {})
  await guard.look()
  expect(machines.map(({ isFrozen }) => isFrozen)).toEqual([true, false])
})

test('one whose pause fails goes on with the others', async () => {
  fault = 'gone'
  failures = 1
  await expect(guard.look()).rejects.toThrow()
  const failing = guard.leave(machines[0]!, async () => {
    throw new Error('disk full')
  })
  await expect(failing).rejects.toThrow('disk full')
  await guard.look()
  expect(machines.map(({ isFrozen }) => isFrozen)).toEqual([false, false])
})

test('one that could not be frozen is not set going: its kernel would panic', async () => {
  fault = 'gone'
  unfreezable = 'a'
  await guard.look()
  expect(said).toEqual([
    'fault: gone',
    'error: Error: its kernel does not answer',
    'b: gone',
    'mended',
    'b: goes on',
  ])
})
