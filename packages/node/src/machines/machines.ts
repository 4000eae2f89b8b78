import { randomBytes } from 'node:crypto'
import { readlinkSync, unlinkSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import {
  CLOSED,
  isClosed,
  type MachineStatus,
  type NetworkOwner,
  type NetworkPolicy,
} from '@sandlot/protocol/node'
import type { Driver, MachinePaths } from '../engine/driver.ts'
import type { SpecOptions } from '../engine/oci-spec.ts'
import { protectEnvd } from '../engine/oom-order.ts'
import type { GuestClient } from '../guest/guest-client.ts'
import type { LoginCommand } from '../guest/login-command.ts'
import type { InstanceNames } from '../instance-names.ts'
import type { Firewall } from '../network/firewall.ts'
import type { SlotPool } from '../network/slots.ts'
import { readVolumes, record as recordVolumes } from '../volumes/machine-volumes.ts'
import { type StandInFolders, StandIns } from '../volumes/stand-ins.ts'
import type { VolumeBindings } from '../volumes/volume-bindings.ts'
import { isSame, type MountedVolume, VolumeTable } from '../volumes/volume-table.ts'
import type { Cgroups } from './cgroups.ts'
import type { HostIds } from './host-ids.ts'
import { LiveMachine, type MachineRecord, type MachineSource, type StartOptions } from './machine.ts'
import { MachineCleanup } from './machine-cleanup.ts'
import { explainFailure, kernelGone } from './machine-errors.ts'
import { mark, unmark, writeRecord } from './machine-folder.ts'
import { MachineSpecs } from './machine-specs.ts'
import { MachineState } from './machine-state.ts'
import { recoverMachines, type Wanted } from './recover.ts'

const HEALTHY_TIMEOUT_MS = 20_000
const READY_TIMEOUT_MS = 1_000
const CPU_SHARES_PER_CPU = 512
/**
 * CPU shares of machines of builds: less than sandboxes (1024 with two CPUs) and warm machines have, but enough to answer
 * within the time limits beside busy sandboxes (docs/adr/0028).
 */
const BUILD_CPU_SHARES = 32
const DYING_CPU_SHARES = 1024
const DISCARD_INTERVAL_MS = 10_000

export interface MachinesOptions {
  names: InstanceNames
  /** `<home>/run`. */
  runDir: string
  guestDir: string
  driver: Driver
  cgroups: Cgroups
  slots: SlotPool
  firewall: Pick<Firewall, 'setPolicy' | 'close' | 'forget'>
  volumes: VolumeBindings
  /** Absent: all kernels run as root of this server. */
  hostIds?: HostIds
  onError: (error: unknown) => void
}

/** Starts, freezes, saves, ends and recovers the machines of this instance. */
export class Machines {
  readonly #options: MachinesOptions
  readonly #machinesDir: string
  readonly #specs: MachineSpecs
  readonly #cleanup: MachineCleanup
  readonly #standIns: StandIns
  readonly #live = new Map<string, LiveMachine>()
  #onGone: (machineId: string) => void = () => {}

  constructor(options: MachinesOptions) {
    const { names, runDir, guestDir, driver, cgroups, slots, firewall, volumes, onError } = options
    const machinesDir = join(runDir, 'machines')
    this.#options = options
    this.#machinesDir = machinesDir
    this.#specs = new MachineSpecs({
      runDir,
      guestDir,
      canLimitSwap: cgroups.canLimitSwap,
      hostIds: options.hostIds,
      volumesDirOf: (machineId) => volumes.dirOf(machineId),
    })
    this.#standIns = new StandIns(volumes.standInsDir)
    this.#cleanup = new MachineCleanup({
      names,
      runDir,
      machinesDir,
      driver,
      cgroups,
      slots,
      firewall,
      volumes,
      onError,
    })
  }

  /** @param onGone called with each machine that has ended, for whatever reason */
  onGone(onGone: (machineId: string) => void): void {
    this.#onGone = onGone
  }

  get(machineId: string): LiveMachine | undefined {
    return this.#live.get(machineId)
  }

  /** @returns undefined when the machine has ended, is ending, or never existed */
  status(machineId: string): MachineStatus | undefined {
    const machine = this.#live.get(machineId)
    if (!machine || machine.isEnding || !this.isAlive(machine)) return undefined
    return { machineId, address: machine.slot.address }
  }

  all(): IterableIterator<LiveMachine> {
    return this.#live.values()
  }

  /** Machines in which processes of sandboxes or builds run. */
  running(): LiveMachine[] {
    return [...this.#live.values()].filter((machine) => machine.isRunning)
  }

  async prepareFolders(): Promise<void> {
    const { runDir } = this.#options
    await this.#cleanup.emptyTrash()
    this.#options.volumes.prepare()
    await Promise.all(
      [this.#machinesDir, join(runDir, 'overlay'), join(runDir, 'empty'), join(runDir, 'runsc')].map((dir) =>
        mkdir(dir, { recursive: true, mode: 0o700 }),
      ),
    )
  }

  /** Starts an empty kernel, into which a later `start` of the same kind can restore. */
  async prepare(kind: Omit<MachineSource, 'buildId'>): Promise<LiveMachine> {
    const machine = await this.#make({ ...kind, buildId: '' })
    const { machineId, dir } = machine
    try {
      const spec = this.#specs.describe(kind, machine)
      machine.pid = await this.#options.driver.prepare({ machineId, dir }, spec)
      await mark(dir, 'prepared')
      this.#live.set(machineId, machine)
      return machine
    } catch (error) {
      throw await this.#abandon(machine, error)
    }
  }

  /**
   * Starts a machine and waits until its envd answers. The machine is warm until `claim`, and frozen while it is kept in
   * stock for a template or snapshot.
   */
  start(source: MachineSource, { prepared, ...options }: StartOptions = {}): Promise<LiveMachine> {
    const first = [prepared]
    return this.#standIns.during(mountedIn(source), (standIns) =>
      this.#start(source, { ...options, prepared: first.pop() }, standIns),
    )
  }

  async #start(
    source: MachineSource,
    { isUrgent = true, prepared }: StartOptions,
    standIns: StandInFolders,
  ): Promise<LiveMachine> {
    const machine = prepared ?? (await this.#make(source))
    const { machineId, dir, cgroup, guest } = machine
    try {
      if (prepared) await this.#assign(prepared, source.buildId)
      await this.setPolicy(machine, source.network ?? CLOSED, { owner: source.sandbox })
      await this.#bindVolumes(machine, source, standIns)
      machine.pid = await this.#boot(machine, source, isUrgent, prepared !== undefined)
      this.#live.set(machineId, machine)
      await guest.waitUntilHealthy(HEALTHY_TIMEOUT_MS)
      this.#protectEnvd(cgroup).catch(this.#options.onError)
      if (!isUrgent && !source.hasUserProcesses) await touch(guest, source.readyCommand)
      // code of a template or snapshot must not use the processor before a sandbox owns it
      const isParked = !isUrgent && source.checkpointId !== undefined
      if (isParked) await this.#freezeKernel(machine)
      await mark(dir, 'warm')
      machine.state.change(isParked ? 'parked' : 'warm')
      return machine
    } catch (error) {
      throw await this.#abandon(machine, error)
    }
  }

  /**
   * Gives the machine to a sandbox. Until `use`, a start that finds no row of that sandbox removes the machine. The policy
   * of a machine that was frozen is in force before the machine runs; a machine that runs already contains nothing of the
   * sandbox yet, and `policyInForce` must be awaited before anything of the sandbox is started (docs/adr/0036).
   * @param network default: the policy of its source
   * @param owner default: the sandbox that the machine was started for
   * @throws SandlotError sandbox_create_failed, firewall_unavailable, not_implemented; the machine is ended
   */
  async claim(machine: LiveMachine, network = machine.network, owner = machine.owner): Promise<void> {
    if (machine.isEnding)
      throw new SandlotError('sandbox_create_failed', `machine '${machine.machineId}' has ended`)
    unlinkSync(join(machine.dir, 'warm'))
    machine.state.change(machine.isFrozen ? 'frozen' : 'running')
    this.#weigh(machine).catch(this.#options.onError)
    machine.network = network
    machine.owner = owner
    machine.policyInForce = this.setPolicy(machine, network, { owner })
    machine.policyInForce.catch(() => void this.discard(machine.machineId))
    if (machine.isFrozen) await this.#thawWithPolicy(machine, network)
  }

  async #thawWithPolicy(machine: LiveMachine, network: NetworkPolicy): Promise<void> {
    try {
      // a closed policy must be in force before anything runs; a slot is closed until opening it has succeeded
      if (isClosed(network)) await machine.policyInForce
      await Promise.all([machine.policyInForce, this.thaw(machine)])
    } catch (error) {
      void this.discard(machine.machineId)
      throw error
    }
  }

  /** Freezes the machine until `thaw` or its end, and writes a marker file for a start after a crash. Idempotent. */
  freeze(machine: LiveMachine): Promise<void> {
    return this.#freeze(machine, 'frozen')
  }

  /** Like `freeze`, for a guard that thaws the machine when the reason is gone. */
  stall(machine: LiveMachine): Promise<void> {
    return this.#freeze(machine, 'stalled')
  }

  /** @throws Error when the machine is not frozen: its kernel would panic */
  async thaw(machine: LiveMachine): Promise<void> {
    const { state, machineId } = machine
    if (!state.isFrozen) throw new Error(`machine '${machineId}' is ${state.phase}, not frozen`)
    await this.#options.driver.thaw(machineId)
    if (!state.isEnding) state.change('running')
    await unmark(machine.dir, 'frozen')
  }

  /** Resolves when the machine's processes are dead; files, cgroup and slot are cleaned up in the background. */
  async end(machineId: string): Promise<void> {
    const { cgroups } = this.#options
    const machine = this.#live.get(machineId)
    if (!machine) return this.#cleanup.whenRemoved(machineId)
    machine.state.change('ending')
    // a killed kernel needs the processor to release its memory
    if (machine.isForBuild) await cgroups.setCpuShares(machine.cgroup, DYING_CPU_SHARES)
    await cgroups.kill(machine.cgroup)
    // a concurrent caller may already be cleaning up
    if (!this.#live.has(machineId)) return
    this.#drop(machine)
    this.#cleanup.removeInBackground(machineId, machine.slot.index)
  }

  /** Like `end`, but never rejects: retries until the kernel is dead, which can take long on a full disk. */
  async discard(machineId: string): Promise<void> {
    await this.end(machineId).catch((error) => {
      this.#options.onError(error)
      setTimeout(() => void this.discard(machineId), DISCARD_INTERVAL_MS).unref()
    })
  }

  /** Saves memory and writable layer. The machine continues to run, or stays frozen. */
  checkpoint(machine: LiveMachine, checkpointDir: string): Promise<void> {
    return this.#saving(machine, this.#options.driver.checkpoint(machine, checkpointDir))
  }

  /** Saves the writable layer only. The machine continues to run, or stays frozen. */
  saveFileSystem(machine: LiveMachine, fileSystemDir: string): Promise<void> {
    return this.#saving(machine, this.#options.driver.saveFileSystem(machine, fileSystemDir))
  }

  /**
   * Provides folder and cgroup for a machine without a network that serves one task, e.g. reading a checkpoint's files.
   * The machine's processes are dead when `work` has ended; after a crash the next start kills them.
   */
  aside<T>(
    source: Omit<MachineSource, 'buildId'>,
    work: (machine: MachinePaths, spec: SpecOptions) => Promise<T>,
  ): Promise<T> {
    return this.#standIns.during(mountedIn(source), (standIns) => this.#aside(source, standIns, work))
  }

  async #aside<T>(
    source: Omit<MachineSource, 'buildId'>,
    standIns: StandInFolders,
    work: (machine: MachinePaths, spec: SpecOptions) => Promise<T>,
  ): Promise<T> {
    const { volumes } = this.#options
    const machineId = this.#newId()
    const cgroup = this.#cgroupOf(machineId)
    const dir = join(this.#machinesDir, machineId)
    const spec = this.#specs.describe(source, { machineId, cgroup })
    try {
      await mkdir(dir, { mode: 0o700 })
      volumes.open(machineId)
      for (const [slot, folder] of standIns) await volumes.bindFolder({ machineId }, slot, folder)
      return await work({ machineId, dir }, spec)
    } finally {
      await this.#options.cgroups.kill(cgroup).catch(this.#options.onError)
      this.#cleanup.removeInBackground(machineId)
    }
  }

  /** Whether the process of the machine's kernel exists; costs one `readlink`, which fails for a zombie. */
  isAlive(machine: LiveMachine): boolean {
    try {
      readlinkSync(`/proc/${machine.pid}/exe`)
      return true
    } catch {
      return false
    }
  }

  /**
   * Marks the machine, so that a start that finds no row of it keeps its memory, until `unuse`. A full disk is not an
   * error.
   */
  async use({ dir }: LiveMachine): Promise<void> {
    await mark(dir, 'used').catch(this.#options.onError)
  }

  /** Removes the mark of `use`, once a checkpoint contains the machine's memory. */
  async unuse({ dir }: LiveMachine): Promise<void> {
    await unmark(dir, 'used')
  }

  /** Returns the bytes on the disk that a machine has written, and those of the volumes that it can write to. */
  async diskUsedBytes({ machineId, pid, volumes }: LiveMachine): Promise<number> {
    const { driver, volumes: bindings } = this.#options
    const writable = volumes.list().filter(({ isBound, isReadOnly }) => isBound && !isReadOnly)
    const slots = writable.map(({ slot }) => slot)
    return (await driver.diskUsedBytes(pid)) + (await bindings.usedBytes(machineId, slots))
  }

  /** Finds the machines of a former server (see `recoverMachines`) and removes those that are not kept. */
  async recover(wanted: Wanted): Promise<{ warm: LiveMachine[]; unlisted: Set<string> }> {
    const { cgroups, slots, onError } = this.#options
    const options = {
      machinesDir: this.#machinesDir,
      cgroups,
      toMachine: (record: MachineRecord, state: MachineState) => this.#toMachine(record, state),
      freeze: (machine: LiveMachine) => this.freeze(machine),
    }
    const { kept, unlisted } = await recoverMachines(options, wanted)
    for (const machine of kept) {
      this.#live.set(machine.machineId, machine)
      await this.#recoverVolumes(machine)
    }
    for (const machineId of await this.#cleanup.traces())
      if (!this.#live.has(machineId)) await this.#cleanup.remove(machineId).catch(onError)
    await slots.adopt(new Set(kept.map(({ slot }) => slot.index)))
    return { warm: kept.filter((machine) => machine.isWarm), unlisted }
  }

  /** Ends every machine of this instance, including those of a server that is gone. */
  async removeAll(): Promise<void> {
    const { cgroups, names, volumes } = this.#options
    for (const machine of this.#live.values()) this.#drop(machine)
    for (const machineId of await this.#cleanup.traces()) await this.#cleanup.remove(machineId)
    await cgroups.remove(names.cgroup)
    volumes.removeAll()
  }

  /** Waits for the background cleanup of `end`. */
  settle(): Promise<void> {
    return this.#cleanup.settle()
  }

  /** Creates the folder with a record of the machine before anything else of the machine exists. */
  async #make(source: MachineSource): Promise<LiveMachine> {
    const slot = await this.#options.slots.take()
    const { buildId, imagePath, cpuCount, memoryMB, diskSizeMB, isForBuild } = source
    const record: MachineRecord = {
      machineId: this.#newId(),
      buildId,
      imagePath,
      guestDir: this.#specs.guestDirOf(source),
      resources: { cpuCount, memoryMB, diskSizeMB },
      slot: slot.index,
    }
    const machine = this.#toMachine(record, new MachineState('starting'), isForBuild)
    try {
      await mkdir(machine.dir, { mode: 0o700 })
      await writeRecord(machine.dir, machine.record)
      this.#options.volumes.open(machine.machineId)
      return machine
    } catch (error) {
      throw await this.#abandon(machine, error)
    }
  }

  /** Puts volumes where the processes of a checkpoint expect them; afterwards would be too late. */
  async #bindVolumes(machine: LiveMachine, source: MachineSource, standIns: StandInFolders): Promise<void> {
    const { volumes, onError } = this.#options
    const mounted: MountedVolume[] = []
    for (const volume of mountedIn(source)) {
      const isWanted = !standIns.has(volume.slot) && source.volumes?.some((one) => isSame(one, volume))
      const isBound = isWanted === true && (await volumes.bindIfExists(machine, volume.slot, volume, onError))
      mounted.push({ ...volume, isBound })
    }
    machine.volumes = new VolumeTable(mounted)
    for (const [slot, folder] of standIns) {
      await volumes.bindFolder(machine, slot, folder)
      if (!mounted.some((one) => one.slot === slot)) machine.volumes.reserve(slot)
    }
    if (mounted.length === 0) return
    await recordVolumes(machine, mounted)
  }

  /** Finds the volumes of a machine of a former server. */
  async #recoverVolumes(machine: LiveMachine): Promise<void> {
    const { volumes, onError } = this.#options
    const recorded = await readVolumes(machine).catch((error) => {
      onError(error)
      return []
    })
    const bound = await volumes.recover(machine.machineId, recorded)
    machine.volumes = new VolumeTable(recorded.map((one) => ({ ...one, isBound: bound.has(one.slot) })))
  }

  async #boot(
    machine: LiveMachine,
    source: MachineSource,
    isUrgent: boolean,
    isPrepared: boolean,
  ): Promise<number> {
    const { driver } = this.#options
    const spec = this.#specs.describe(source, machine)
    if (!source.checkpointDir) return driver.create(machine, spec, source)
    return driver.restore(machine, spec, source.checkpointDir, { isUrgent, isPrepared })
  }

  /** Turns a prepared machine into one of a build. */
  async #assign(machine: LiveMachine, buildId: string): Promise<void> {
    machine.buildId = buildId
    await writeRecord(machine.dir, machine.record)
    await unmark(machine.dir, 'prepared')
  }

  async #freeze(machine: LiveMachine, phase: 'frozen' | 'stalled'): Promise<void> {
    const { state } = machine
    if (state.isFrozen) {
      // a stalled machine that is paused stays frozen
      if (phase === 'frozen' && state.isStalled) state.change('frozen')
      return
    }
    await mark(machine.dir, 'frozen')
    if (state.isFrozen) return this.#freeze(machine, phase)
    state.change(phase)
    try {
      await this.#options.driver.freeze(machine.machineId)
    } catch (error) {
      if (!state.isEnding) state.change('running')
      await unmark(machine.dir, 'frozen')
      throw error
    }
  }

  async #freezeKernel({ machineId, dir }: LiveMachine): Promise<void> {
    await mark(dir, 'frozen')
    await this.#options.driver.freeze(machineId)
  }

  async #saving(machine: LiveMachine, saving: Promise<void>): Promise<void> {
    try {
      await saving
    } catch (error) {
      throw this.isAlive(machine) ? explainFailure(error, this.#options.runDir) : kernelGone(error)
    }
  }

  async #weigh({ cgroup, resources, isForBuild }: LiveMachine): Promise<void> {
    const { cgroups } = this.#options
    const cpus = Math.min(resources.cpuCount, availableParallelism())
    await cgroups.setCpuShares(cgroup, isForBuild ? BUILD_CPU_SHARES : cpus * CPU_SHARES_PER_CPU)
    if (isForBuild) await cgroups.giveWayForDisk(cgroup)
  }

  /**
   * Resolves when the policy is in force for new connections.
   * @throws SandlotError firewall_unavailable; not_implemented when the policy needs the proxy and there is none
   */
  async setPolicy(
    machine: LiveMachine,
    network: NetworkPolicy,
    { owner = machine.owner, closeExisting }: { owner?: NetworkOwner; closeExisting?: boolean } = {},
  ): Promise<void> {
    await this.#options.firewall.setPolicy(machine.slot, network, owner, closeExisting)
    machine.network = network
    machine.owner = owner
  }

  /** Called in the background, because it reads data of each process. */
  async #protectEnvd(cgroup: string): Promise<void> {
    await protectEnvd(await this.#options.cgroups.pids(cgroup))
  }

  /** Removes a machine whose start failed. @returns the error for the caller */
  async #abandon(machine: LiveMachine, error: unknown): Promise<SandlotError> {
    const { machineId, slot } = machine
    const isCleanedUp = machine.isEnding && !this.#live.has(machineId)
    machine.state.change('ending')
    this.#drop(machine)
    if (isCleanedUp) await this.#cleanup.whenRemoved(machineId)
    else await this.#cleanup.remove(machineId, slot.index).catch(this.#options.onError)
    return explainFailure(error, this.#options.runDir)
  }

  #drop({ machineId, guest }: LiveMachine): void {
    guest.close()
    this.#live.delete(machineId)
    this.#onGone(machineId)
  }

  #toMachine(record: MachineRecord, state: MachineState, isForBuild?: boolean): LiveMachine {
    const { machineId } = record
    return new LiveMachine({
      record,
      slot: this.#options.slots.slot(record.slot),
      dir: join(this.#machinesDir, machineId),
      cgroup: this.#cgroupOf(machineId),
      state,
      isForBuild,
    })
  }

  #cgroupOf(machineId: string): string {
    return `${this.#options.names.cgroup}/${machineId}`
  }

  #newId(): string {
    return `${this.#options.names.instance}${randomBytes(6).toString('hex')}`
  }
}

/**
 * Runs once what a create and a first command run, because the memory of a restored machine is read page by page at the
 * first access. The ready command does this for the template's service. An `/init` without values changes nothing.
 */
async function touch(guest: GuestClient, readyCommand: LoginCommand | undefined): Promise<void> {
  await guest.post('/init', {})
  await guest.runCommand({ command: 'true', user: 'user' }, HEALTHY_TIMEOUT_MS)
  // the outcome does not matter, and some ready commands only sleep
  if (readyCommand) await guest.runCommand(readyCommand, READY_TIMEOUT_MS).catch(() => {})
}

/** Only processes in memory can have volumes mounted. */
const mountedIn = ({ checkpointDir, mountedVolumes = [] }: Omit<MachineSource, 'buildId'>) =>
  checkpointDir ? mountedVolumes : []
