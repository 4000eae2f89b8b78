import type { Check as CheckOf } from '@sandlot/protocol/doctor'

export type { Finding, Verdict } from '@sandlot/protocol/doctor'

/** Server and credentials that the client is configured with, before any request. */
export interface Target {
  apiUrl: string
  domain: string
  /** One URL for all sandboxes, when set. */
  sandboxUrl?: string
  apiKey?: string
  /** Where the key was found. */
  keySource: string
}

export type Check = CheckOf<Target>
