import { randomBytes } from 'node:crypto'
import { readlinkSync, unlinkSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { NetworkPolicy } from '@sandlot/protocol/node'
import type { Driver, MachinePaths } from '../engine/driver.ts'
import type { SpecOptions } from '../engine/oci-spec.ts'
import { protectEnvd } from '../engine/oom-order.ts'
import { createGuestClient, type GuestClient } from '../guest/guest-client.ts'
import type { LoginCommand } from '../guest/login-command.ts'
import type { InstanceNames } from '../instance-names.ts'
import type { Firewall } from '../network/firewall.ts'
import { CLOSED } from '../network/network-policy.ts'
import type { Slot, SlotPool } from '../network/slots.ts'
import type { Cgroups } from './cgroups.ts'
import { HOST_IDS, hostIdsFor, MAX_SLOTS } from './host-ids.ts'
import type { LiveMachine, MachineSource, StartOptions } from './machine.ts'
import { explainFailure, kernelGone } from './machine-errors.ts'
import { isMarked, type MachineRecord, mark, readRecord, unmark, writeRecord } from './machine-folder.ts'

const HEALTHY_TIMEOUT_MS = 20_000
const READY_TIMEOUT_MS = 1_000
/** Warm machines must not slow the ones in use; those get back what their CPU count says, up to what the machine has. */
const WARM_CPU_SHARES = 64
const CPU_SHARES_PER_CPU = 512
/**
 * Machines of builds give way to those of sandboxes (1024 with two CPUs), and to stock that is being filled: what they
 * get beside busy ones is little, but enough to answer within the time that they have for it (docs/adr/0028).
 */
const BUILD_CPU_SHARES = 32
const DYING_CPU_SHARES = 1024
const DISCARD_INTERVAL_MS = 10_000
const TRASH_PREFIX = '.trash-'

/** What a start keeps of a former server's machines, by machine id. */
export interface Wanted {
  inUse: ReadonlyMap<string, NetworkPolicy>
  frozen: ReadonlyMap<string, { network: NetworkPolicy }>
  /** Not to go on. */
  ended: ReadonlySet<string>
  /** Builds whose warm machines are kept. */
  buildIds: ReadonlySet<string>
}

export interface MachinesOptions {
  names: InstanceNames
  /** `<home>/run`. */
  runDir: string
  guestDir: string
  driver: Driver
  cgroups: Cgroups
  slots: SlotPool
  firewall: Pick<Firewall, 'setPolicy' | 'close' | 'forget'>
  onError: (error: unknown) => void
}

/** Starts, ends and finds again the machines of this instance. */
export class Machines {
  readonly #options: MachinesOptions
  readonly #machinesDir: string
  readonly #hostIds: ReturnType<typeof hostIdsFor>
  #asides = 0
  readonly #live = new Map<string, LiveMachine>()
  readonly #ending = new Map<string, Promise<void>>()

  constructor(options: MachinesOptions) {
    this.#options = options
    this.#machinesDir = join(options.runDir, 'machines')
    this.#hostIds = hostIdsFor(options.names.instance)
  }

  get(machineId: string): LiveMachine | undefined {
    return this.#live.get(machineId)
  }

  all(): IterableIterator<LiveMachine> {
    return this.#live.values()
  }

  async prepareFolders(): Promise<void> {
    const { runDir } = this.#options
    for (const name of await readdir(runDir).catch(() => []))
      if (name.startsWith(TRASH_PREFIX)) await rm(join(runDir, name), { recursive: true, force: true })
    await Promise.all(
      [this.#machinesDir, join(runDir, 'overlay'), join(runDir, 'empty'), join(runDir, 'runsc')].map((dir) =>
        mkdir(dir, { recursive: true, mode: 0o700 }),
      ),
    )
  }

  /** A kernel for a later `start` of the same kind to restore into. */
  async prepare(kind: Omit<MachineSource, 'buildId'>): Promise<LiveMachine> {
    const { driver } = this.#options
    const source = { ...kind, buildId: '' }
    const machine = await this.#make(source)
    const { machineId, dir, slot } = machine
    try {
      machine.pid = await driver.prepare({ machineId, dir }, this.#spec(source, machine.cgroup, machine.slot))
      await mark(dir, 'prepared')
      this.#live.set(machineId, machine)
      return machine
    } catch (error) {
      await this.#remove(machineId, slot.index).catch(this.#options.onError)
      throw explainFailure(error, this.#options.runDir)
    }
  }

  /** Starts a machine and waits until its envd answers; it is warm until `claim`, and frozen while it is stock of a template or snapshot. */
  async start(source: MachineSource, { isUrgent = true, prepared }: StartOptions = {}): Promise<LiveMachine> {
    const { driver } = this.#options
    const machine = prepared ?? (await this.#make(source))
    const { machineId, dir, cgroup, guest, slot } = machine
    try {
      if (prepared) await this.#becomeOf(source.buildId, prepared)
      await this.#setPolicy(machine, source.network ?? CLOSED)
      const spec = this.#spec(source, cgroup, slot)
      machine.pid = source.checkpointDir
        ? await driver.restore({ machineId, dir }, spec, source.checkpointDir, {
            isUrgent,
            isPrepared: prepared !== undefined,
          })
        : await driver.create({ machineId, dir }, spec, source)
      this.#live.set(machineId, machine)
      await guest.waitUntilHealthy(HEALTHY_TIMEOUT_MS)
      this.#protectEnvd(cgroup).catch(this.#options.onError)
      if (!isUrgent && !source.isUsers) await touch(guest, source.readyCommand)
      // somebody's code is in it, which counts to nobody until someone has it
      if (!isUrgent && source.checkpointId !== undefined) await this.freeze(machine)
      await mark(dir, 'warm')
      return machine
    } catch (error) {
      await this.#remove(machineId, slot.index).catch(this.#options.onError)
      throw explainFailure(error, this.#options.runDir)
    }
  }

  /** Its folder, with a record of what it is, before anything else of it exists. */
  async #make(source: MachineSource): Promise<LiveMachine> {
    const { slots, names } = this.#options
    const slot = await slots.take()
    const machineId = `${names.instance}${randomBytes(6).toString('hex')}`
    const { buildId, imagePath, guestDir, cpuCount, memoryMB, diskSizeMB } = this.#complete(source)
    const resources = { cpuCount, memoryMB, diskSizeMB }
    const record = { machineId, buildId, imagePath, guestDir, resources, slot: slot.index }
    const machine = { ...this.#machine(record, 0), isForBuild: source.isForBuild ?? false }
    try {
      await mkdir(machine.dir, { mode: 0o700 })
      await this.#writeRecord(machine)
      return machine
    } catch (error) {
      await this.#remove(machineId, slot.index).catch(this.#options.onError)
      throw explainFailure(error, this.#options.runDir)
    }
  }

  async #becomeOf(buildId: string, machine: LiveMachine): Promise<void> {
    machine.buildId = buildId
    await this.#writeRecord(machine)
    await unmark(machine.dir, 'prepared')
  }

  #writeRecord({ dir, slot, ...machine }: LiveMachine): Promise<void> {
    const { machineId, buildId, imagePath, guestDir, resources } = machine
    return writeRecord(dir, { machineId, buildId, imagePath, guestDir, resources, slot: slot.index })
  }

  /**
   * From now on the machine belongs to a sandbox: until `use`, a next start without that sandbox's row removes it.
   * @param network absent: what its source said
   * @throws SandlotError firewall_unavailable; the machine is ended
   */
  async claim(machine: LiveMachine, network = machine.network): Promise<void> {
    unlinkSync(join(machine.dir, 'warm'))
    machine.isWarm = false
    this.#weigh(machine).catch(this.#options.onError)
    try {
      const setting = this.#setPolicy(machine, network)
      // what is closed must be so before anything runs; while it is being opened it is closed still
      if (!network.allowInternetAccess) await setting
      await Promise.all([setting, machine.isFrozen && this.thaw(machine)])
    } catch (error) {
      void this.discard(machine.machineId)
      throw error
    }
  }

  async #weigh({ cgroup, resources, isForBuild }: LiveMachine): Promise<void> {
    const { cgroups } = this.#options
    const cpus = Math.min(resources.cpuCount, availableParallelism())
    await cgroups.setCpuShares(cgroup, isForBuild ? BUILD_CPU_SHARES : cpus * CPU_SHARES_PER_CPU)
    if (isForBuild) await cgroups.giveWayForDisk(cgroup)
  }

  async #setPolicy(machine: LiveMachine, network: NetworkPolicy): Promise<void> {
    await this.#options.firewall.setPolicy(machine.slot, network)
    machine.network = network
  }

  /** Stops everything inside until `thaw`, or the end; twice is once. The file says so to a server after a crash. */
  async freeze(machine: LiveMachine): Promise<void> {
    if (machine.isFrozen) return
    await mark(machine.dir, 'frozen')
    machine.isFrozen = true
    try {
      await this.#options.driver.freeze(machine.machineId)
    } catch (error) {
      machine.isFrozen = false
      await unmark(machine.dir, 'frozen')
      throw error
    }
  }

  async thaw(machine: LiveMachine): Promise<void> {
    await this.#options.driver.thaw(machine.machineId)
    machine.isFrozen = false
    await unmark(machine.dir, 'frozen')
  }

  /** Resolves when its processes are dead; files, cgroup and slot are cleaned up behind. */
  async end(machineId: string): Promise<void> {
    const machine = this.#live.get(machineId)
    if (!machine) return this.#ending.get(machineId)
    machine.isEnding = true
    // a kernel that is killed still needs the processor, to give back what it has
    if (machine.isForBuild) await this.#options.cgroups.setCpuShares(machine.cgroup, DYING_CPU_SHARES)
    await this.#options.cgroups.kill(machine.cgroup)
    this.#cleanUp(machineId, machine.slot.index)
  }

  /** Behind the caller; `settle` waits for it. */
  #cleanUp(machineId: string, slotIndex?: number): void {
    const cleaning = this.#remove(machineId, slotIndex)
      .catch(this.#options.onError)
      .finally(() => this.#ending.delete(machineId))
    this.#ending.set(machineId, cleaning)
  }

  /** The same for who has what it wanted: a kernel with a full disk may take long to die, and is asked until it is gone. */
  async discard(machineId: string): Promise<void> {
    await this.end(machineId).catch((error) => {
      this.#options.onError(error)
      setTimeout(() => void this.discard(machineId), DISCARD_INTERVAL_MS).unref()
    })
  }

  /** Saves memory and writable layer; the machine goes on, or stays frozen. */
  checkpoint(machine: LiveMachine, checkpointDir: string): Promise<void> {
    return this.#saving(machine, this.#options.driver.checkpoint(machine, checkpointDir))
  }

  /** Saves the writable layer alone; the machine goes on, or stays frozen. */
  saveFileSystem(machine: LiveMachine, fileSystemDir: string): Promise<void> {
    return this.#saving(machine, this.#options.driver.saveFileSystem(machine, fileSystemDir))
  }

  async #saving(machine: LiveMachine, saving: Promise<void>): Promise<void> {
    try {
      await saving
    } catch (error) {
      throw this.isAlive(machine) ? explainFailure(error, this.#options.runDir) : kernelGone(error)
    }
  }

  /**
   * Room for a machine that nobody connects to and nobody gets, e.g. to read a checkpoint's files: it has no network.
   * Its processes are dead when `work` is done; after a crash the next start removes it.
   */
  async aside<T>(
    source: Omit<MachineSource, 'buildId'>,
    work: (machine: MachinePaths, spec: SpecOptions) => Promise<T>,
  ): Promise<T> {
    const { names } = this.#options
    const machineId = `${names.instance}${randomBytes(6).toString('hex')}`
    const dir = join(this.#machinesDir, machineId)
    const spec = this.#spec({ ...source, buildId: '' }, `${names.cgroup}/${machineId}`)
    try {
      await mkdir(dir, { mode: 0o700 })
      return await work({ machineId, dir }, spec)
    } finally {
      await this.#options.cgroups.kill(`${names.cgroup}/${machineId}`).catch(this.#options.onError)
      this.#cleanUp(machineId)
    }
  }

  /** Is its kernel's process there? One readlink; a zombie has no executable any more. */
  isAlive(machine: LiveMachine): boolean {
    try {
      readlinkSync(`/proc/${machine.pid}/exe`)
      return true
    } catch {
      return false
    }
  }

  /**
   * Finds what a former server left: `inUse` and `frozen` are adopted as they are, healthy warm ones of
   * `buildIds` are adopted. Machines that a sandbox runs in which nobody names stand still, all else of this instance
   * is removed. @returns the warm ones, and the ids of those that nobody names
   */
  async recover({
    inUse,
    frozen,
    ended,
    buildIds,
  }: Wanted): Promise<{ warm: LiveMachine[]; unlisted: Set<string> }> {
    const usedSlots = new Set<number>()
    const unlisted = new Set<string>()
    await Promise.all(
      (await readdir(this.#machinesDir)).map(async (machineId) => {
        const machine = await this.#find(join(this.#machinesDir, machineId)).catch(() => undefined)
        if (!machine) return
        const isUsed = inUse.has(machineId) || frozen.has(machineId)
        const isWanted = isUsed || (machine.isWarm && buildIds.has(machine.buildId))
        machine.isWarm &&= !isUsed
        machine.network = inUse.get(machineId) ?? frozen.get(machineId)?.network ?? CLOSED
        if (isWanted && (await this.#isUsable(machine, frozen.has(machineId)))) {
          usedSlots.add(machine.slot.index)
          this.#live.set(machineId, machine)
          if (isUsed) await unmark(machine.dir, 'warm')
        } else if (!isUsed && !ended.has(machineId) && (await this.#standStill(machine))) {
          usedSlots.add(machine.slot.index)
          this.#live.set(machineId, machine)
          unlisted.add(machineId)
        } else machine.guest.close()
      }),
    )
    for (const machineId of await this.#traces())
      if (!this.#live.has(machineId)) await this.#remove(machineId).catch(this.#options.onError)
    await this.#options.slots.adopt(usedSlots)
    return { warm: [...this.#live.values()].filter((machine) => machine.isWarm), unlisted }
  }

  /** @returns false: no sandbox runs in it, or it is dead */
  async #standStill(machine: LiveMachine): Promise<boolean> {
    if (!(await isMarked(machine.dir, 'used'))) return false
    if (!(await this.#options.cgroups.pids(machine.cgroup)).includes(machine.pid)) return false
    await this.freeze(machine)
    return true
  }

  /** From now on a start that finds no row of it keeps its memory, until `unuse`. A full disk is no reason not to run. */
  async use({ dir }: LiveMachine): Promise<void> {
    await mark(dir, 'used').catch(this.#options.onError)
  }

  /** Its memory is in a checkpoint. */
  async unuse({ dir }: LiveMachine): Promise<void> {
    await unmark(dir, 'used')
  }

  /** A crash may have come before or after a thaw: a machine that answers is not frozen. */
  async #isUsable(machine: LiveMachine, mayBeFrozen: boolean): Promise<boolean> {
    if (!(await this.#options.cgroups.pids(machine.cgroup)).includes(machine.pid)) return false
    if (machine.isWarm) return machine.isFrozen || machine.guest.isHealthy()
    if (mayBeFrozen) return machine.isFrozen
    if (machine.isFrozen && (await machine.guest.isHealthy())) {
      machine.isFrozen = false
      await unmark(machine.dir, 'frozen')
    }
    return true
  }

  /** Ends every machine of this instance, also those of a server that is gone. */
  async removeAll(): Promise<void> {
    const { cgroups, names } = this.#options
    for (const machineId of await this.#traces()) await this.#remove(machineId)
    await cgroups.remove(names.cgroup)
  }

  /** Ids of all machines that left a folder, a state of the driver or a cgroup. */
  async #traces(): Promise<Set<string>> {
    const { cgroups, driver, names } = this.#options
    const dirs = await readdir(this.#machinesDir).catch(() => [])
    return new Set([...dirs, ...(await driver.list()), ...(await cgroups.children(names.cgroup))])
  }

  /** Waits for the cleaning behind `end`. */
  async settle(): Promise<void> {
    await Promise.all(this.#ending.values())
  }

  async #find(dir: string): Promise<LiveMachine> {
    const { record, pid } = await readRecord(dir)
    return {
      ...this.#machine(record, pid),
      isWarm: await isMarked(dir, 'warm'),
      isFrozen: await isMarked(dir, 'frozen'),
    }
  }

  #machine(
    { machineId, buildId, imagePath, guestDir, resources, slot: index }: MachineRecord,
    pid: number,
  ): LiveMachine {
    const slot = this.#options.slots.slot(index)
    return {
      machineId,
      buildId,
      imagePath,
      guestDir,
      resources,
      slot,
      pid,
      dir: join(this.#machinesDir, machineId),
      cgroup: `${this.#options.names.cgroup}/${machineId}`,
      guest: createGuestClient(slot.address),
      isWarm: true,
      isFrozen: false,
      network: CLOSED,
      isForBuild: false,
      isEnding: false,
    }
  }

  async #remove(machineId: string, slotIndex?: number): Promise<void> {
    const { cgroups, driver, firewall, names, slots } = this.#options
    const cgroup = `${names.cgroup}/${machineId}`
    this.#live.get(machineId)?.guest.close()
    this.#live.delete(machineId)
    await cgroups.kill(cgroup)
    await driver.forget(machineId)
    await cgroups.remove(cgroup)
    // gone by rename first: a half deleted folder is never read as a machine
    const dir = join(this.#machinesDir, machineId)
    const trash = join(this.#options.runDir, `${TRASH_PREFIX}${machineId}`)
    await rename(dir, trash).catch(() => {})
    await rm(trash, { recursive: true, force: true })
    if (slotIndex === undefined) return
    await firewall.close(slots.slot(slotIndex))
    await firewall.forget(slots.slot(slotIndex))
    slots.give(slotIndex)
  }

  /** Nobody waits for it: it looks at each process. */
  async #protectEnvd(cgroup: string): Promise<void> {
    await protectEnvd(await this.#options.cgroups.pids(cgroup))
  }

  #complete(source: MachineSource): MachineSource & { guestDir: string } {
    return { ...source, guestDir: source.guestDir ?? this.#options.guestDir }
  }

  /** Machines without a slot take turns with the ids that slots leave over. */
  #asideIndex(): number {
    return MAX_SLOTS + (this.#asides++ % (HOST_IDS - MAX_SLOTS))
  }

  #spec(source: MachineSource, cgroup: string, slot?: Slot): SpecOptions {
    const { runDir, cgroups } = this.#options
    const { cpuCount, memoryMB, diskSizeMB, imagePath, guestDir, program } = this.#complete(source)
    return {
      program,
      cpuCount,
      memoryMB,
      diskSizeMB,
      imagePath,
      guestDir,
      overlayDir: join(runDir, 'overlay'),
      emptyDir: join(runDir, 'empty'),
      netnsPath: slot?.netnsPath,
      cgroupsPath: `/${cgroup}`,
      cpuShares: WARM_CPU_SHARES,
      hostId: this.#hostIds?.(slot?.index ?? this.#asideIndex()),
      canLimitSwap: cgroups.canLimitSwap,
    }
  }
}

/**
 * A restored machine's memory is read in page by page when it is first used. Doing once what a create and a first
 * command will do takes that off their path; asking whether the template's service is ready does so for a first request
 * to it. An `/init` without values changes nothing.
 */
async function touch(guest: GuestClient, readyCommand: LoginCommand | undefined): Promise<void> {
  await guest.post('/init', {})
  await guest.runCommand({ command: 'true', user: 'user' }, HEALTHY_TIMEOUT_MS)
  // what it answers does not matter, and some only sleep
  if (readyCommand) await guest.runCommand(readyCommand, READY_TIMEOUT_MS).catch(() => {})
}
