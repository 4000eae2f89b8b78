import { constants } from 'node:os'
import { Failure } from '../failure.ts'
import type { Ending } from './session.ts'

/** Exit code of a session whose shell ended: the shell's own, as with ssh. @throws Failure for any other end */
export function exitCodeOfEnding(ending: Ending, sandboxId: string): number {
  switch (ending.kind) {
    case 'exit':
      // A shell that a signal killed reports -1.
      return ending.exitCode & 0xff
    case 'signal':
      return 128 + constants.signals[ending.signal]
    case 'sandbox-ended':
      throw new Failure(
        `Sandbox ${sandboxId} is not running any more: it was killed, paused, or its time was up.`,
      )
    case 'unreachable':
      throw new Failure(`Sandbox ${sandboxId} could not be reached again. \`e2b doctor\` checks why.`)
  }
}
