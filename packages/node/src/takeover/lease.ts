import type { ObjectStore } from '../objects/object-store.ts'

/** An instance counts as dead when it has not renewed its lease for this long; leases are renewed once a minute. */
export const LEASE_MS = 5 * 60_000

const leaseKey = (instanceId: string): string => `instances/${instanceId}.json`

export const isFresh = (silentMs: number | undefined): boolean =>
  silentMs !== undefined && silentMs < LEASE_MS

/**
 * Renews the lease of an instance. Only the time of the object matters; the content reveals nothing to the owner of the
 * store.
 */
export async function renewLease(store: ObjectStore, instanceId: string): Promise<void> {
  await store.put(leaseKey(instanceId), Buffer.alloc(0))
}

/**
 * Measures the time since an instance renewed its lease, by comparison with an own lease that was just renewed. Both
 * times come from the store, so the clocks of machines do not matter.
 * @param ownId an instance whose lease has just been renewed
 * @returns milliseconds, undefined when the instance never had a lease
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
