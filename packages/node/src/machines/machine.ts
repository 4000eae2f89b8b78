import type { BuildResources, NetworkPolicy } from '@sandlot/protocol/node'
import type { GuestClient } from '../guest/guest-client.ts'
import type { LoginCommand } from '../guest/login-command.ts'
import type { Slot } from '../network/slots.ts'

/** What a machine starts from. */
export interface MachineSource extends BuildResources {
  /** Stock that it belongs to while it is warm; of a user's machine never a build that others start from. */
  buildId: string
  imagePath: string
  /** The folder with the envd that a checkpoint was made with; absent: this server's. */
  guestDir?: string
  /** Program of that folder that is the first process; absent: envd. Whatever it is, it answers envd's port. */
  program?: string
  /** Where its standard output goes when it boots, an empty file. Absent: nowhere. */
  stdout?: { readonly fd: number }
  /** Absent: boots from the image. */
  checkpointDir?: string
  /** Laid over the image when it boots: what `saveFileSystem` wrote. */
  fileSystemDir?: string
  /** Whose files they are, which must be unpacked while it starts. */
  checkpointId?: string
  /** What runs in it is a user's already: it is not touched before someone has it. */
  isUsers?: boolean
  /** It works for a build: machines of sandboxes come first. */
  isForBuild?: boolean
  /** Team that waits for a machine that is started once; absent: this server itself. */
  owner?: string
  /** Of the template: uses what its start command started. */
  readyCommand?: LoginCommand
  /** In force before anything inside runs. Absent: it reaches nothing. */
  network?: NetworkPolicy
}

export interface StartOptions {
  /** Someone waits for it. Default true. */
  isUrgent?: boolean
  /** What `prepare` made, for the same image and resources; absent: all of it is made now. */
  prepared?: LiveMachine
}

export interface LiveMachine {
  machineId: string
  buildId: string
  imagePath: string
  guestDir: string
  resources: BuildResources
  slot: Slot
  /** Process of its kernel, the sentry. */
  pid: number
  dir: string
  cgroup: string
  guest: GuestClient
  isWarm: boolean
  /** Nothing inside runs; one `thaw` sets it going. */
  isFrozen: boolean
  /** The policy that is in force. */
  network: NetworkPolicy
  /** It works for a build. */
  isForBuild: boolean
  /** Its death is wanted. */
  isEnding: boolean
  /** Why the server ended it, for the build that it worked for. */
  endedBecause?: string
}
