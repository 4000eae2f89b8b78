import { stat } from 'node:fs/promises'

/**
 * Where envd writes the authorities that the TLS of this sandbox is intercepted with (`guest/envd/internal/trust`), for
 * names with header rules. A sandbox without such rules has no file.
 */
export const AUTHORITIES_FILE = '/etc/sandlot/egress-ca.pem'

/** The store of the system, to which envd adds the authorities. */
const SYSTEM_BUNDLE = '/etc/ssl/certs/ca-certificates.crt'

/** Whether a variable's value is one that envd gives to processes that have no value of their own. */
export const isForAuthorities = (value: string | undefined): boolean =>
  value === AUTHORITIES_FILE || value === SYSTEM_BUNDLE

/** @returns text that differs for each file that envd has written there; undefined without a file */
export async function authoritiesVersion(file = AUTHORITIES_FILE): Promise<string | undefined> {
  // envd replaces the file instead of changing it
  const stats = await stat(file).catch(() => undefined)
  return stats && `${stats.ino} ${stats.mtimeMs} ${stats.size}`
}
