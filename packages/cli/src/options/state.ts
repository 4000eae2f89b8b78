import { InvalidArgumentError, Option } from 'commander'
import type { SandboxState } from 'e2b'

const STATES: readonly SandboxState[] = ['running', 'paused']

/** `-s running,paused`. */
export const stateOption = (when = ''): Option =>
  new Option('-s, --state <state>', `${when}filter by state: running, paused, or both with a comma`)
    .default(['running'], 'running')
    .argParser(parseStates)

export function parseStates(text: string): SandboxState[] {
  return text.split(',').map((word) => {
    const state = STATES.find((known) => known === word.trim().toLowerCase())
    if (!state)
      throw new InvalidArgumentError(`'${word}' is not a state. Use running, paused, or running,paused.`)
    return state
  })
}
