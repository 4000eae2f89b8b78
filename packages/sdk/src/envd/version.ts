/** From which version on envd, the daemon inside a sandbox, can do what (wire spec, section 4.1). */
export const envdSince = {
  /** Older ones speak another protocol. */
  supported: '0.1.0',
  recursiveWatch: '0.1.4',
  metrics: '0.1.5',
  /** The sandbox has a default user; before, the client names it. */
  defaultUser: '0.4.0',
  closeStdin: '0.5.2',
  octetStream: '0.5.7',
  metadata: '0.6.2',
  watchEntries: '0.6.3',
  networkMounts: '0.6.4',
} as const

/** What an envd is taken for that is not asked: in debug mode there is no API to tell its version. */
export const NEWEST_ENVD = '99.99.99'

/** Compares `major.minor.patch`; what follows a dash or plus does not count. */
export function isAtLeast(version: string, minimum: string): boolean {
  const [left, right] = [numbers(version), numbers(minimum)]
  for (let index = 0; index < 3; index++) {
    const difference = left[index]! - right[index]!
    if (difference !== 0) return difference > 0
  }
  return true
}

function numbers(version: string): number[] {
  const parts = (version.split(/[-+]/)[0] ?? '').split('.').map(Number)
  return [0, 1, 2].map((index) => parts[index] || 0)
}
