import { SandlotError } from '@sandlot/protocol'

export type SandboxState = 'starting' | 'running' | 'pausing' | 'paused' | 'killing' | 'killed'

/** All allowed changes of state. A row is written before a change is made, and again when it has been made. */
const transitions: Record<SandboxState, readonly SandboxState[]> = {
  starting: ['running', 'killing', 'killed'],
  running: ['pausing', 'killing', 'killed'],
  pausing: ['paused', 'running', 'killed'],
  paused: ['running', 'killing', 'killed'],
  killing: ['killed'],
  killed: [],
}

/** @throws SandlotError conflict */
export function become(sandbox: { sandboxId: string; state: SandboxState }, state: SandboxState): void {
  if (!canBecome(sandbox.state, state))
    throw new SandlotError(
      'conflict',
      `sandbox '${sandbox.sandboxId}' is ${sandbox.state} and cannot become ${state}`,
    )
  sandbox.state = state
}

export const canBecome = (from: SandboxState, to: SandboxState): boolean => transitions[from].includes(to)

/** Prefix of the kill reason of a sandbox that another machine took over; the name of that machine follows. */
export const TAKEN_OVER_BY = 'moved: '

/** Why a sandbox ended, as recorded in its row and in its `killed` event. */
export type KillReason =
  | 'request'
  | 'timeout'
  | 'create_failed'
  /** The server died, and the machine of the sandbox was gone at the next start. */
  | 'lost'
  /** The client disconnected before it was told the id. */
  | 'abandoned'
  /** Another machine has taken the sandbox over. */
  | `${typeof TAKEN_OVER_BY}${string}`
  | `exited: ${string}`

/** Why a checkpoint was made, as shown in the tree of a sandbox. */
export type CheckpointReason = 'pause' | 'auto-pause' | 'snapshot' | 'fork' | 'checkpoint' | 'build'
