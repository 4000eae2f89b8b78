import { readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Driver } from '../engine/driver.ts'
import type { InstanceNames } from '../instance-names.ts'
import type { Firewall } from '../network/firewall.ts'
import type { SlotPool } from '../network/slots.ts'
import type { VolumeBindings } from '../volumes/volume-bindings.ts'
import type { Cgroups } from './cgroups.ts'

const TRASH_PREFIX = '.trash-'

export interface MachineCleanupOptions {
  names: InstanceNames
  /** `<home>/run`. */
  runDir: string
  machinesDir: string
  driver: Driver
  cgroups: Cgroups
  slots: SlotPool
  firewall: Pick<Firewall, 'close' | 'forget'>
  volumes: Pick<VolumeBindings, 'close' | 'list'>
  onError: (error: unknown) => void
}

/** Removes the leftovers of machines: processes, the driver's state, cgroups, mounts, folders, slots. */
export class MachineCleanup {
  readonly #options: MachineCleanupOptions
  readonly #running = new Map<string, Promise<void>>()

  constructor(options: MachineCleanupOptions) {
    this.#options = options
  }

  /** Removes folders whose removal a crash interrupted. */
  async emptyTrash(): Promise<void> {
    const { runDir } = this.#options
    for (const name of await readdir(runDir).catch(() => []))
      if (name.startsWith(TRASH_PREFIX)) await rm(join(runDir, name), { recursive: true, force: true })
  }

  /** Lists the ids of all machines with a folder, a state of the driver, a cgroup or slots for volumes. */
  async traces(): Promise<Set<string>> {
    const { cgroups, driver, machinesDir, names, volumes } = this.#options
    const dirs = await readdir(machinesDir).catch(() => [])
    return new Set([
      ...dirs,
      ...(await driver.list()),
      ...(await cgroups.children(names.cgroup)),
      ...volumes.list(),
    ])
  }

  /** @param slotIndex the machine's slot, which becomes free */
  async remove(machineId: string, slotIndex?: number): Promise<void> {
    const { cgroups, driver, firewall, machinesDir, names, runDir, slots, volumes, onError } = this.#options
    const cgroup = `${names.cgroup}/${machineId}`
    await cgroups.kill(cgroup)
    await driver.forget(machineId)
    await cgroups.remove(cgroup)
    await volumes.close(machineId).catch(onError)
    // renamed first, because a start must not take a half-deleted folder for a machine
    const trash = join(runDir, `${TRASH_PREFIX}${machineId}`)
    await rename(join(machinesDir, machineId), trash).catch(() => {})
    await rm(trash, { recursive: true, force: true })
    if (slotIndex === undefined) return
    await firewall.close(slots.slot(slotIndex))
    await firewall.forget(slots.slot(slotIndex))
    slots.give(slotIndex)
  }

  removeInBackground(machineId: string, slotIndex?: number): void {
    const removing = this.remove(machineId, slotIndex)
      .catch(this.#options.onError)
      .finally(() => this.#running.delete(machineId))
    this.#running.set(machineId, removing)
  }

  /** Resolves when the background removal of a machine has ended, if there is one. */
  async whenRemoved(machineId: string): Promise<void> {
    await this.#running.get(machineId)
  }

  /** Resolves when all background removals have ended. */
  async settle(): Promise<void> {
    await Promise.all(this.#running.values())
  }
}
