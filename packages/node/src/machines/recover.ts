import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CLOSED, type KnownMachine } from '@sandlot/protocol/node'
import type { Cgroups } from './cgroups.ts'
import { type LiveMachine, type MachineRecord, ownerOf } from './machine.ts'
import { isMarked, readRecord, unmark } from './machine-folder.ts'
import { MachineState } from './machine-state.ts'

/** Machines of a former server that a start must keep or end, by id. */
export interface Wanted {
  inUse: ReadonlyMap<string, KnownMachine>
  frozen: ReadonlyMap<string, KnownMachine>
  /** Machines that must end. */
  ended: ReadonlySet<string>
  /** Builds whose warm machines are kept. */
  buildIds: ReadonlySet<string>
}

export interface RecoverOptions {
  machinesDir: string
  cgroups: Pick<Cgroups, 'pids'>
  toMachine: (record: MachineRecord, state: MachineState) => LiveMachine
  freeze: (machine: LiveMachine) => Promise<void>
}

export interface Recovered {
  kept: LiveMachine[]
  /** Ids of kept machines with a sandbox that `wanted` does not name; these machines are frozen. */
  unlisted: Set<string>
}

/**
 * Finds the machines of a former server: those in `inUse` and `frozen` are kept unchanged, and healthy warm ones of
 * `buildIds` too. Machines with a sandbox that nothing lists are frozen; callers remove the rest.
 */
export async function recoverMachines(options: RecoverOptions, wanted: Wanted): Promise<Recovered> {
  const recovered: Recovered = { kept: [], unlisted: new Set() }
  await Promise.all(
    (await readdir(options.machinesDir)).map(async (machineId) => {
      const isUsed = wanted.inUse.has(machineId) || wanted.frozen.has(machineId)
      const machine = await readMachine(options, machineId, isUsed).catch(() => undefined)
      if (!machine) return
      const known = wanted.inUse.get(machineId) ?? wanted.frozen.get(machineId)
      machine.network = known?.network ?? CLOSED
      machine.owner = known && ownerOf(known)
      const isWanted = isUsed || (machine.isWarm && wanted.buildIds.has(machine.buildId))
      if (isWanted && (await isUsable(options, machine, wanted.frozen.has(machineId)))) {
        recovered.kept.push(machine)
        if (isUsed) await unmark(machine.dir, 'warm')
      } else if (!isUsed && !wanted.ended.has(machineId) && (await freezeUnlisted(options, machine))) {
        recovered.kept.push(machine)
        recovered.unlisted.add(machineId)
      } else machine.guest.close()
    }),
  )
  return recovered
}

async function readMachine(
  { machinesDir, toMachine }: RecoverOptions,
  machineId: string,
  isOwned: boolean,
): Promise<LiveMachine> {
  const dir = join(machinesDir, machineId)
  const { record, pid } = await readRecord(dir)
  const [isWarm, isUsed, isFrozen] = await Promise.all(
    (['warm', 'used', 'frozen'] as const).map((name) => isMarked(dir, name)),
  )
  const [awake, asleep] =
    isWarm && !isUsed && !isOwned ? (['warm', 'parked'] as const) : (['running', 'frozen'] as const)
  const machine = toMachine(record, new MachineState(isFrozen ? asleep : awake))
  machine.pid = pid
  return machine
}

/**
 * Whether a machine can be kept. A crash may have come before or after a thaw, so a machine that answers is not frozen.
 */
async function isUsable(
  options: RecoverOptions,
  machine: LiveMachine,
  mayBeFrozen: boolean,
): Promise<boolean> {
  if (!(await hasKernel(options, machine))) return false
  if (machine.isWarm) return machine.isFrozen || machine.guest.isHealthy()
  if (mayBeFrozen) return machine.isFrozen
  if (machine.isFrozen && (await machine.guest.isHealthy())) {
    machine.state.change('running')
    await unmark(machine.dir, 'frozen')
  }
  return true
}

/** @returns false when no sandbox runs in the machine or its kernel is dead */
async function freezeUnlisted(options: RecoverOptions, machine: LiveMachine): Promise<boolean> {
  if (!(await isMarked(machine.dir, 'used'))) return false
  if (!(await hasKernel(options, machine))) return false
  await options.freeze(machine)
  return true
}

async function hasKernel({ cgroups }: RecoverOptions, { cgroup, pid }: LiveMachine): Promise<boolean> {
  return (await cgroups.pids(cgroup)).includes(pid)
}
