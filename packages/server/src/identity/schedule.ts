import { DAY_MS } from '@sandlot/protocol'

/** How long a key signs. */
export const SIGNING_MS = 30 * DAY_MS
/**
 * How long a key is published before it signs, and after it has signed its last token: longer than any verifier caches
 * keys, and than a token is valid.
 */
export const OVERLAP_MS = DAY_MS

interface Scheduled {
  sequence: number
  signsAtMs: number
}

export interface Schedule<Key extends Scheduled> {
  /** The key that signs now; undefined when there is none. */
  signing: Key | undefined
  /** The key that must be created now. */
  next: Scheduled | undefined
  /** Sequence number of the last key that is no longer needed. */
  outdated: number | undefined
}

/** @param keys in the order of their sequence numbers */
export function scheduleOf<Key extends Scheduled>(keys: readonly Key[], nowMs: number): Schedule<Key> {
  const newest = keys.at(-1)
  if (!newest) return { signing: undefined, next: { sequence: 1, signsAtMs: nowMs }, outdated: undefined }
  const signing = keys.findLast(({ signsAtMs }) => signsAtMs <= nowMs) ?? keys[0]!
  const isDue = nowMs >= newest.signsAtMs + SIGNING_MS - OVERLAP_MS
  const next = {
    sequence: newest.sequence + 1,
    // later than planned after a time without a server: the key must be published first
    signsAtMs: Math.max(newest.signsAtMs + SIGNING_MS, nowMs + OVERLAP_MS),
  }
  const replaced = keys.findLast(
    ({ sequence }, at) => sequence < signing.sequence && keys[at + 1]!.signsAtMs + OVERLAP_MS <= nowMs,
  )
  return { signing, next: isDue ? next : undefined, outdated: replaced?.sequence }
}
