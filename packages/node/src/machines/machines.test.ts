import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import { CLOSED, OPEN } from '@sandlot/protocol/node'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Session } from '../session.ts'
import type { LiveMachine } from './machine.ts'
import { mark } from './machine-folder.ts'
import { Machines } from './machines.ts'

const KIND = { imagePath: '/image', cpuCount: 1, memoryMB: 512, diskSizeMB: 1024 }

let runDir: string
let machines: Machines
let policies: unknown[]
let thawed: string[]
/** What putting a policy in force waits for. */
let policyPutInForce: Promise<void>
beforeEach(async () => {
  policies = []
  thawed = []
  policyPutInForce = Promise.resolve()
  runDir = mkdtempSync(join(tmpdir(), 'sandlot-machines-test-'))
  machines = new Machines({
    names: { instance: 'i', cgroup: 'c' } as never,
    runDir,
    guestDir: '/guest',
    // kernels that start and end at once
    driver: {
      prepare: async () => 0,
      forget: async () => {},
      list: async () => [],
      thaw: async (machineId: string) => void thawed.push(machineId),
    } as never,
    cgroups: {
      kill: async () => {},
      remove: async () => {},
      children: async () => [],
      setCpuShares: async () => {},
    } as never,
    slots: {
      take: async () => ({ index: 1, address: '10.0.0.2', netnsPath: '/netns' }),
      slot: (index: number) => ({ index, address: '10.0.0.2', netnsPath: '/netns' }),
      give: () => {},
    } as never,
    firewall: {
      setPolicy: async (_, network, owner, closeExisting) => {
        policies.push({ network, owner, closeExisting })
        await policyPutInForce
      },
      close: async () => {},
      forget: async () => {},
    },
    onError: (error) => {
      throw error
    },
  })
  await machines.prepareFolders()
})
afterEach(async () => {
  await machines.settle()
  rmSync(runDir, { recursive: true, force: true })
})

/** Returns a machine of the pool without a kernel. */
async function warmMachine(phase: 'warm' | 'parked' = 'warm'): Promise<LiveMachine> {
  const machine = await machines.prepare(KIND)
  await mark(machine.dir, 'warm')
  machine.state.change(phase)
  return machine
}

test('a session forgets each machine that ends, also one that no caller stops', async () => {
  const session = new Session()
  session.begin('s')
  machines.onGone((machineId) => session.forgetMachine(machineId))
  const [first, second] = [await machines.prepare(KIND), await machines.prepare(KIND)]
  for (const { machineId } of [first, second]) session.addMachine(machineId)
  await machines.end(first.machineId)
  expect(session.machineIds()).toEqual([second.machineId])
  await machines.discard(second.machineId)
  expect(session.machineIds()).toEqual([])
})

test('a machine keeps its sandbox as owner of the policy, when that changes too', async () => {
  const machine = await machines.prepare(KIND)
  const owner = { sandboxId: 'i1', teamId: 't' }
  await machines.setPolicy(machine, OPEN, { owner })
  await machines.setPolicy(machine, CLOSED, { closeExisting: true })
  expect(policies).toEqual([
    { network: OPEN, owner, closeExisting: undefined },
    { network: CLOSED, owner, closeExisting: true },
  ])
  expect(machine).toMatchObject({ owner, network: CLOSED })
})

test('the policy of a machine that runs is put in force beside what follows the claim', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  policyPutInForce = promise
  const machine = await warmMachine()
  const owner = { sandboxId: 'i1', teamId: 't' }
  await machines.claim(machine, CLOSED, owner)
  expect(policies).toEqual([{ network: CLOSED, owner, closeExisting: undefined }])
  expect(machine).toMatchObject({ owner, network: CLOSED })
  let isInForce = false
  const waiting = machine.policyInForce.then(() => {
    isInForce = true
  })
  await new Promise(setImmediate)
  expect(isInForce).toBe(false)
  resolve()
  await waiting
})

test('a machine whose policy cannot be put in force is ended, and the reason is reported', async () => {
  const { promise, reject } = Promise.withResolvers<void>()
  policyPutInForce = promise
  const machine = await warmMachine()
  await machines.claim(machine, CLOSED)
  reject(new SandlotError('firewall_unavailable', 'the table is gone'))
  await expect(machine.policyInForce).rejects.toMatchObject({ errorName: 'firewall_unavailable' })
  await machines.settle()
  expect(machines.status(machine.machineId)).toBeUndefined()
  expect(existsSync(machine.dir)).toBe(false)
})

test('a frozen machine runs only once its closed policy is in force, and never when that fails', async () => {
  const { promise, reject } = Promise.withResolvers<void>()
  policyPutInForce = promise
  const machine = await warmMachine('parked')
  const claiming = machines.claim(machine, CLOSED)
  await new Promise(setImmediate)
  expect(thawed).toEqual([])
  reject(new SandlotError('firewall_unavailable', 'the table is gone'))
  await expect(claiming).rejects.toMatchObject({ errorName: 'firewall_unavailable' })
  await machines.settle()
  expect(thawed).toEqual([])
  expect(machines.get(machine.machineId)).toBeUndefined()
})
