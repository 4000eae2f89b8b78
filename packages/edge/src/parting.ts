import type { GoneReason } from '@sandlot/protocol/directory'
import type { StreamError } from './connect-messages.ts'
import { type Refusal, sandboxNotFound, sandboxRolledBack } from './refusal.ts'

/** What clients with pending requests are told when their sandbox is paused or killed. */
export interface Parting {
  /** Answer to requests that have none yet. */
  refusal: Refusal
  /** Last message of envd's streams; all other answers break off. */
  error: StreamError
}

const UNDER_WAY = 'while the request was in flight'

/** Words that the official clients from 2.31 on use when they find out by themselves. */
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

/** The edge learns only some time after the connections broke that a sandbox has died by itself. */
export const CONNECTION_LOST: StreamError = {
  code: 'unavailable',
  message: `The sandbox was killed or reached its end of life, or the connection to it was lost, ${UNDER_WAY}`,
}
