/** First version of envd, the daemon inside a sandbox, that has a feature (wire spec, section 4.1). */
export const envdSince = {
  /** Oldest supported version; older versions speak another protocol. */
  supported: '0.1.0',
  recursiveWatch: '0.1.4',
  metrics: '0.1.5',
  /** The sandbox has a default user; for older versions the client must name the user. */
  defaultUser: '0.4.0',
  closeStdin: '0.5.2',
  octetStream: '0.5.7',
  metadata: '0.6.2',
  watchEntries: '0.6.3',
  networkMounts: '0.6.4',
} as const

/** Version that is assumed in debug mode, where no API reports the version of envd. */
export const NEWEST_ENVD = '99.99.99'

/** Compares `major.minor.patch`, and ignores suffixes that begin with a dash or plus. */
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
