import type { GoneReason } from '@sandlot/protocol/directory'
import type { StreamError } from './connect-messages.ts'
import { type Refusal, sandboxNotFound, sandboxRolledBack } from './refusal.ts'

/** Answers for clients with pending requests whose sandbox is paused, rolled back or killed. */
export interface Parting {
  /** Answer to requests that have none yet. */
  refusal: Refusal
  /** Last message of envd's streams; all other answers are cut off. */
  error: StreamError
}

const IN_FLIGHT = 'while the request was in flight'

/** Returns messages in the words that official clients from 2.31 on use when they detect the end by themselves. */
export function partingOf(sandboxId: string, reason: GoneReason): Parting {
  const notFound = { ...sandboxNotFound({ sandboxId }, false), isParting: true }
  switch (reason) {
    case 'ended':
      return {
        refusal: notFound,
        error: {
          code: 'unavailable',
          message: `The sandbox was killed or reached its end of life ${IN_FLIGHT}`,
        },
      }
    case 'paused':
      return {
        refusal: notFound,
        error: { code: 'unavailable', message: `The sandbox was paused ${IN_FLIGHT}` },
      }
    case 'rolled back':
      return {
        refusal: { ...sandboxRolledBack({ sandboxId }), shouldRetry: false, isParting: true },
        error: { code: 'aborted', message: `The sandbox was rolled back ${IN_FLIGHT}` },
      }
  }
}

/** Error for connections that broke by themselves: the edge learns only later whether the sandbox has ended. */
export const CONNECTION_LOST: StreamError = {
  code: 'unavailable',
  message: `The sandbox was killed or reached its end of life, or the connection to it was lost, ${IN_FLIGHT}`,
}
