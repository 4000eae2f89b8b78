import { type BuildResources, CLOSED, type NetworkOwner, type NetworkPolicy } from '@sandlot/protocol/node'
import { GuestClient } from '../guest/guest-client.ts'
import type { LoginCommand } from '../guest/login-command.ts'
import type { Slot } from '../network/slot.ts'
import type { MachineState } from './machine-state.ts'

/** What a machine is started from. */
export interface MachineSource extends BuildResources {
  /**
   * Build in whose stock the machine is while it is warm. Machines with user processes never share the stock of another
   * build.
   */
  buildId: string
  imagePath: string
  /** Folder with the envd that the checkpoint was made with. Default: that of this server. */
  guestDir?: string
  /** Program in `guestDir` that is the first process and answers on envd's port. Default: envd. */
  program?: string
  /** Standard output of a machine that boots: an empty file. Default: none. */
  stdout?: { readonly fd: number }
  /** Absent: the machine boots from the image. */
  checkpointDir?: string
  /** Files that `saveFileSystem` wrote, which are laid over the image when the machine boots. */
  fileSystemDir?: string
  /** Checkpoint of the files, which must stay unpacked during the start. */
  checkpointId?: string
  /** Whether the checkpoint contains user processes; if so, nothing is run in the machine before a sandbox claims it. */
  hasUserProcesses?: boolean
  /** Whether the machine works for a build, and has a lower priority than machines of sandboxes. */
  isForBuild?: boolean
  /** Team that waits for the machine. Absent: this server itself. */
  owner?: string
  /** The template's ready command, which accesses the service that the start command has started. */
  readyCommand?: LoginCommand
  /** Policy that is in force before anything inside runs. Default: no network access. */
  network?: NetworkPolicy
  /** Sandbox that the machine is started for. Absent: the server itself, or a sandbox that claims the machine later. */
  sandbox?: NetworkOwner
}

export interface StartOptions {
  /** Whether a caller is waiting for the machine. Default true. */
  isUrgent?: boolean
  /** A machine that `prepare` created for the same image and resources. Absent: everything is created now. */
  prepared?: LiveMachine
}

/**
 * `machine.json`: written before anything else of the machine exists, so that a start after a crash finds every machine.
 */
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
  /** The network policy that is in force. */
  network: NetworkPolicy = CLOSED
  /** The sandbox in the machine, once there is one. */
  owner?: NetworkOwner
  /** Resolves when the policy of the sandbox that claimed the machine is in force; rejects when the machine is ended instead. */
  policyInForce: Promise<void> = Promise.resolve()
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

export const ownerOf = ({ sandboxId, teamId }: NetworkOwner): NetworkOwner => ({ sandboxId, teamId })
