import { type BuildResources, CLOSED, type NetworkPolicy } from '@sandlot/protocol/node'
import { GuestClient } from '../guest/guest-client.ts'
import type { LoginCommand } from '../guest/login-command.ts'
import type { Slot } from '../network/slot.ts'
import type { MachineState } from './machine-state.ts'

/** What a machine is started from. */
export interface MachineSource extends BuildResources {
  /** Stock that the machine belongs to while it is warm. Machines with user processes share stock with no other build. */
  buildId: string
  imagePath: string
  /** Folder with the envd that the checkpoint was made with. Default: this server's. */
  guestDir?: string
  /** Program of `guestDir` that is the first process and answers envd's port. Default: envd. */
  program?: string
  /** Standard output of a machine that boots: an empty file. Default: none. */
  stdout?: { readonly fd: number }
  /** Absent: the machine boots from the image. */
  checkpointDir?: string
  /** What `saveFileSystem` wrote: laid over the image when the machine boots. */
  fileSystemDir?: string
  /** Checkpoint that the files belong to, which must stay unpacked during the start. */
  checkpointId?: string
  /** Whether processes of a user are in the checkpoint: nothing is run in the machine before a sandbox claims it. */
  hasUserProcesses?: boolean
  /** Whether the machine works for a build: machines of sandboxes come first. */
  isForBuild?: boolean
  /** Team that waits for a machine that is started once. Absent: this server itself. */
  owner?: string
  /** The template's ready command, which touches what its start command has started. */
  readyCommand?: LoginCommand
  /** In force before anything inside runs. Default: no network access. */
  network?: NetworkPolicy
}

export interface StartOptions {
  /** Whether a caller is waiting for the machine. Default true. */
  isUrgent?: boolean
  /** A machine that `prepare` made for the same image and resources. Absent: everything is made now. */
  prepared?: LiveMachine
}

/** `machine.json`: written before anything of the machine exists, so that a crash at any point leaves a trace. */
export interface MachineRecord {
  machineId: string
  buildId: string
  imagePath: string
  guestDir: string
  resources: BuildResources
  /** Index of its slot. */
  slot: number
}

export interface LiveMachineOptions {
  record: MachineRecord
  slot: Slot
  /** Folder of the machine. */
  dir: string
  cgroup: string
  state: MachineState
  isForBuild?: boolean
}

/** A machine whose kernel runs, is being started or is being stopped. */
export class LiveMachine {
  readonly machineId: string
  readonly imagePath: string
  readonly guestDir: string
  readonly resources: BuildResources
  readonly slot: Slot
  readonly dir: string
  readonly cgroup: string
  readonly guest: GuestClient
  readonly isForBuild: boolean
  readonly state: MachineState
  buildId: string
  /** Process of its kernel, the sentry. */
  pid = 0
  /** The policy that is in force. */
  network: NetworkPolicy = CLOSED
  /** Why the server stopped the machine, for the build that it worked for. */
  endedBecause?: string

  constructor({ record, slot, dir, cgroup, state, isForBuild = false }: LiveMachineOptions) {
    this.machineId = record.machineId
    this.buildId = record.buildId
    this.imagePath = record.imagePath
    this.guestDir = record.guestDir
    this.resources = record.resources
    this.slot = slot
    this.dir = dir
    this.cgroup = cgroup
    this.guest = new GuestClient(slot.address)
    this.state = state
    this.isForBuild = isForBuild
  }

  get record(): MachineRecord {
    const { machineId, buildId, imagePath, guestDir, resources, slot } = this
    return { machineId, buildId, imagePath, guestDir, resources, slot: slot.index }
  }

  get isWarm(): boolean {
    return this.state.isWarm
  }

  get isFrozen(): boolean {
    return this.state.isFrozen
  }

  get isRunning(): boolean {
    return this.state.isRunning
  }

  get isEnding(): boolean {
    return this.state.isEnding
  }
}
