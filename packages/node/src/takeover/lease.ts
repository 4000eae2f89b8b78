import type { ObjectStore } from '../objects/object-store.ts'

/** Silent for so long, an instance counts as dead; it says that it lives once a minute. */
export const LEASE_MS = 5 * 60_000

const leaseKey = (instanceId: string): string => `instances/${instanceId}.json`

export const isFresh = (silentMs: number | undefined): boolean =>
  silentMs !== undefined && silentMs < LEASE_MS

/** Says that this instance lives. Only the time counts: there is nothing to read for the owner of the store. */
export async function renewLease(store: ObjectStore, instanceId: string): Promise<void> {
  await store.put(leaseKey(instanceId), Buffer.alloc(0))
}

/**
 * Compares with an own lease that was just renewed: both times are the store's, so no clock of a machine matters.
 * @param ownId an instance whose lease was renewed a moment ago
 */
export async function silenceOf(
  store: ObjectStore,
  instanceId: string,
  ownId: string,
): Promise<number | undefined> {
  const [theirs, own] = await Promise.all([store.head(leaseKey(instanceId)), store.head(leaseKey(ownId))])
  if (!theirs) return undefined
  return Math.max(0, (own?.modifiedAtMs ?? Date.now()) - theirs.modifiedAtMs)
}
