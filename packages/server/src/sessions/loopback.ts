const LOOPBACK = /^http:\/\/(localhost|127\.0\.0\.1):(\d{1,5})(\/[\w.~-]{0,128})?$/

/**
 * Where the CLI waits for its tokens: `http://localhost:<port>` or `http://127.0.0.1:<port>`, at most one path segment.
 * Tokens are sent nowhere else (RFC 8252, section 7.3).
 * @param ownPorts of this server: no CLI listens there, and a sandbox may read what arrives
 * @returns undefined when `next` is anything else
 */
export function parseLoopback(next: string, ownPorts: ReadonlySet<number>): URL | undefined {
  const [, , port] = LOOPBACK.exec(next) ?? []
  if (port === undefined || Number(port) < 1 || Number(port) > 65_535) return undefined
  if (ownPorts.has(Number(port))) return undefined
  return new URL(next)
}
