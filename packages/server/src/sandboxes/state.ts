export type SandboxState = 'starting' | 'running' | 'killing' | 'killed'

/** Every change of state there is. A row is written before the change is done, and again when it is. */
const transitions: Record<SandboxState, readonly SandboxState[]> = {
  starting: ['running', 'killing', 'killed'],
  running: ['killing', 'killed'],
  killing: ['killed'],
  killed: [],
}

export const canBecome = (from: SandboxState, to: SandboxState): boolean => transitions[from].includes(to)

/** Why a sandbox ended, as kept in its row and said in its `killed` event. */
export type KillReason =
  | 'request'
  | 'timeout'
  | 'create_failed'
  /** Its server died and its machine was gone at the next start. */
  | 'lost'
  /** The client went away before it was told the id. */
  | 'abandoned'
  | `exited: ${string}`
