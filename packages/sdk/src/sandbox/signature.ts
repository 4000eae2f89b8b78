export interface SignatureOpts {
  /** Path exactly as in the URL; may be empty. */
  path: string
  operation: 'read' | 'write'
  user: string | undefined
  /** Seconds from now until the signature expires; undefined means never. */
  expirationInSeconds?: number
  envdAccessToken?: string
}

/**
 * Signs a file URL, which lets anyone with the URL read or write that one path (wire spec, section 4.3).
 *
 * @returns the signature, and its expiry as Unix time in seconds; null means never
 * @example
 * ```ts
 * const { signature } = await getSignature({ path: 'a.txt', operation: 'read', user: 'user', envdAccessToken })
 * ```
 */
export async function getSignature({
  path,
  operation,
  user,
  expirationInSeconds,
  envdAccessToken,
}: SignatureOpts): Promise<{ signature: string; expiration: number | null }> {
  if (!envdAccessToken) throw new Error('Access token is not set and signature cannot be generated!')
  const expiration = expirationInSeconds ? Math.floor(Date.now() / 1000) + expirationInSeconds : null
  const parts = [path, operation, user ?? '', envdAccessToken]
  if (expiration !== null) parts.push(String(expiration))
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(parts.join(':')))
  const base64 = btoa(String.fromCharCode(...new Uint8Array(digest)))
  return { signature: `v1_${base64.replace(/=+$/, '')}`, expiration }
}
