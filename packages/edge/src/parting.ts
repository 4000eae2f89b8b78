import type { GoneReason } from '@sandlot/protocol/directory'
import type { StreamError } from './connect-messages.ts'
import { type Refusal, sandboxNotFound, sandboxRolledBack } from './refusal.ts'

/** What clients are told whose requests are under way when their sandbox goes. */
export interface Parting {
  /** For those that have no answer yet. */
  refusal: Refusal
  /** For streams of envd; all other answers break off. */
  error: StreamError
}

const UNDER_WAY = 'while the request was in flight'

/** The official clients from 2.31 on say the same, in these words, where they find out by themselves. */
export function partingOf(sandboxId: string, reason: GoneReason): Parting {
  const notFound = { ...sandboxNotFound({ sandboxId }, false), isParting: true }
  switch (reason) {
    case 'ended':
      return {
        refusal: notFound,
        error: {
          code: 'unavailable',
          message: `The sandbox was killed or reached its end of life ${UNDER_WAY}`,
        },
      }
    case 'paused':
      return {
        refusal: notFound,
        error: { code: 'unavailable', message: `The sandbox was paused ${UNDER_WAY}` },
      }
    case 'rolled back':
      return {
        refusal: { ...sandboxRolledBack({ sandboxId }), shouldRetry: false, isParting: true },
        error: { code: 'aborted', message: `The sandbox was rolled back ${UNDER_WAY}` },
      }
  }
}

/** A sandbox that dies on its own is known to be gone only some time after its connections are. */
export const CONNECTION_LOST: StreamError = {
  code: 'unavailable',
  message: `The sandbox was killed or reached its end of life, or the connection to it was lost, ${UNDER_WAY}`,
}
