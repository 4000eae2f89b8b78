import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { machineIn } from '../machines/live-machine.fixture.ts'
import type { LiveMachine } from '../machines/machine.ts'
import { NetworkGuard } from './network-guard.ts'

let dir: string
let machines: LiveMachine[]
/** Fault of the table, and number of the next installations that fail. */
let fault: string | undefined
let failures: number
let said: string[]
/** Id of a machine that cannot be frozen. */
let unfreezable: string | undefined
let guard: NetworkGuard

const machine = (machineId: string) => machineIn('running', machineId)
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
      examine: async (isTouched) => fault ?? (isTouched ? 'touched' : undefined),
      install: async () => {
        if (failures-- > 0) throw new Error('nft failed')
        fault = undefined
      },
    },
    faultFile: join(dir, 'fault'),
    running: () => machines.filter(({ isFrozen }) => !isFrozen),
    stall: async ({ machineId, state }) => {
      if (machineId === unfreezable) throw new Error('its kernel does not answer')
      state.change('stalled')
    },
    thaw: async ({ state }) => state.change('running'),
    onStalled: ({ machineId }, reason) => void said.push(`${machineId}: ${reason ?? 'thawed'}`),
    onFault: (reason) => void said.push(`fault: ${reason}`),
    onMended: () => void said.push('mended'),
    onError: (error) => void said.push(`error: ${error}`),
  })
})
afterEach(() => rm(dir, { recursive: true, force: true }))

test('nothing happens while the table is intact', async () => {
  await guard.look()
  expect(said).toEqual([])
})

test('a lost table stalls every machine and is reported; all machines are thawed once the table is installed again', async () => {
  fault = 'gone'
  await guard.look()
  expect(said).toEqual(['fault: gone', 'a: gone', 'b: gone', 'mended', 'a: thawed', 'b: thawed'])
  expect(machines.map(({ isFrozen }) => isFrozen)).toEqual([false, false])
  expect(await faultFile()).toBeUndefined()
})

test('machines stay stalled while the table cannot be installed, and other processes can read why', async () => {
  fault = 'gone'
  failures = 2
  for (let i = 0; i < 2; i++) await expect(guard.look()).rejects.toThrow('nft failed')
  expect(machines.every(({ isFrozen }) => isFrozen)).toBe(true)
  expect(await faultFile()).toBe('gone')
  // a machine that was being started until now
  machines.push(machine('c'))
  failures = 1
  await expect(guard.look()).rejects.toThrow('nft failed')
  expect(machines.every(({ isFrozen }) => isFrozen)).toBe(true)
  await guard.look()
  expect(machines.some(({ isFrozen }) => isFrozen)).toBe(false)
  expect(said.filter((line) => line.startsWith('fault'))).toHaveLength(1)
})

test('a machine that is paused while it is stalled stays frozen', async () => {
  fault = 'gone'
  failures = 1
  await expect(guard.look()).rejects.toThrow()
  await guard.release(machines[0]!, async () => {})
  await guard.look()
  expect(machines.map(({ isFrozen }) => isFrozen)).toEqual([true, false])
})

test('a machine whose pause fails is thawed with the others', async () => {
  fault = 'gone'
  failures = 1
  await expect(guard.look()).rejects.toThrow()
  const failing = guard.release(machines[0]!, async () => {
    throw new Error('disk full')
  })
  await expect(failing).rejects.toThrow('disk full')
  await guard.look()
  expect(machines.map(({ isFrozen }) => isFrozen)).toEqual([false, false])
})

test('a machine that could not be frozen is not thawed, because its kernel would panic', async () => {
  fault = 'gone'
  unfreezable = 'a'
  await guard.look()
  expect(said).toEqual([
    'fault: gone',
    'error: Error: its kernel does not answer',
    'b: gone',
    'mended',
    'b: thawed',
  ])
})

test('a change of ranges by another program is a fault, which is looked at once', async () => {
  await guard.look(true)
  await guard.look()
  expect(said).toEqual(['fault: touched', 'a: touched', 'b: touched', 'mended', 'a: thawed', 'b: thawed'])
})
