import { SandlotError } from '@sandlot/protocol'

export type SandboxState = 'starting' | 'running' | 'pausing' | 'paused' | 'killing' | 'killed'

/** Every change of state there is. A row is written before the change is done, and again when it is. */
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

/** How the reason of a sandbox that another machine has begins; the name of that machine follows. */
export const MOVED = 'moved: '

/** Why a sandbox ended, as kept in its row and said in its `killed` event. */
export type KillReason =
  | 'request'
  | 'timeout'
  | 'create_failed'
  /** Its server died and its machine was gone at the next start. */
  | 'lost'
  /** The client went away before it was told the id. */
  | 'abandoned'
  /** Another machine has taken it over and goes on with it. */
  | `${typeof MOVED}${string}`
  | `exited: ${string}`

/** Why a checkpoint was made, as said in a sandbox's tree. */
export type CheckpointReason = 'pause' | 'auto-pause' | 'snapshot' | 'fork' | 'checkpoint' | 'build'
