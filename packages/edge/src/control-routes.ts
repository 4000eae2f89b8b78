/** Routes of envd that only the control plane may call; through the edge they do not exist (wire spec 3). */
const CONTROL_ROUTES = new Set(
  [
    ...['init', 'freeze', 'unfreeze', 'collapse', 'fsfreeze', 'fsthaw', 'upgrade', 'forward', 'trust'],
    ...['volumes', 'volumes/stale', 'tun', 'bridges'],
  ].map((name) => `/${name}`),
)

/** Rounds of percent-decoding: one more than any chain of decoders between here and envd's router. */
const DECODING_ROUNDS = 3

/** Whether any router could interpret the request target as a control route. */
export function isControlRoute(target: string): boolean {
  let path = target.split(/[?#]/, 1)[0] ?? ''
  for (let round = 0; round <= DECODING_ROUNDS; round++) {
    if (CONTROL_ROUTES.has(normalize(path))) return true
    const decoded = decode(path)
    if (decoded === path) return false
    path = decoded
  }
  return true
}

function normalize(path: string): string {
  const segments: string[] = []
  for (const raw of path.replaceAll('\\', '/').split('/')) {
    const segment = (raw.split(/[;?#\0]/, 1)[0] ?? '').trim().toLowerCase()
    if (segment === '..') segments.pop()
    else if (segment !== '' && segment !== '.') segments.push(segment)
  }
  return `/${segments.join('/')}`
}

const decode = (path: string): string =>
  path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
