import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CLOSED, OPEN } from '@sandlot/protocol/node'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Session } from '../session.ts'
import { SlotMounts } from '../volumes/slot-mounts.ts'
import { VolumeBindings } from '../volumes/volume-bindings.ts'
import { VolumeIds } from '../volumes/volume-ids.ts'
import { Machines } from './machines.ts'

const KIND = { imagePath: '/image', cpuCount: 1, memoryMB: 512, diskSizeMB: 1024 }

let runDir: string
let mountsDir: string
let machines: Machines
let policies: unknown[]
beforeEach(async () => {
  policies = []
  runDir = mkdtempSync(join(tmpdir(), 'sandlot-machines-test-'))
  mountsDir = mkdtempSync(join(tmpdir(), 'sandlot-machines-test-mounts-'))
  machines = new Machines({
    names: { instance: 'i', cgroup: 'c' } as never,
    runDir,
    guestDir: '/guest',
    // kernels that start and end at once
    driver: { prepare: async () => 0, forget: async () => {}, list: async () => [] } as never,
    cgroups: { kill: async () => {}, remove: async () => {}, children: async () => [] } as never,
    slots: {
      take: async () => ({ index: 1, address: '10.0.0.2', netnsPath: '/netns' }),
      slot: (index: number) => ({ index, address: '10.0.0.2', netnsPath: '/netns' }),
      give: () => {},
    } as never,
    firewall: {
      setPolicy: async (_, network, owner, closeExisting) => {
        policies.push({ network, owner, closeExisting })
      },
      close: async () => {},
      forget: async () => {},
    },
    volumes: new VolumeBindings({
      mounts: new SlotMounts(mountsDir),
      ids: new VolumeIds({ canMap: false }),
      onError: () => {},
    }),
    onError: (error) => {
      throw error
    },
  })
  await machines.prepareFolders()
})
afterEach(async () => {
  await machines.settle()
  new SlotMounts(mountsDir).removeAll()
  rmSync(runDir, { recursive: true, force: true })
})

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
