/**
 * Whether an administrator's list contains this `host:port`. An entry without a port stands for 443 and 80; guest/imager
 * interprets the list in the same way.
 */
export function isAllowedRegistry(address: string, allowed: readonly string[]): boolean {
  const lower = address.toLowerCase()
  const host = /^(.*):(?:443|80)$/.exec(lower)?.[1]
  return allowed.some((entry) => entry.toLowerCase() === lower || entry.toLowerCase() === host)
}
