import { shellQuote } from '../shell-quote.ts'

/**
 * A shell command that tells when a sandbox is ready. At the end of a build, the command runs every 2 s until it
 * exits with 0, for at most 10 minutes.
 *
 * @example
 * ```ts
 * template.setReadyCmd(new ReadyCmd('redis-cli ping'))
 * ```
 */
export class ReadyCmd {
  private readonly cmd: string

  constructor(cmd: string) {
    this.cmd = cmd
  }

  /** The command as it is sent to the builder. */
  getCmd(): string {
    return this.cmd
  }
}

/**
 * Ready once something listens on a TCP or UDP port. Needs `ss` (iproute2) in the image.
 *
 * @param port 1 to 65535
 * @example
 * ```ts
 * template.setStartCmd('python -m http.server 8000', waitForPort(8000))
 * ```
 */
export function waitForPort(port: number): ReadyCmd {
  return new ReadyCmd(`[ -n "$(ss -Htuln sport = :${port})" ]`)
}

/**
 * Ready once a URL answers with a status. Needs `curl` in the image.
 *
 * @param url as seen from inside the sandbox
 * @param statusCode 200 by default
 * @example
 * ```ts
 * template.setStartCmd('npm start', waitForURL('http://localhost:3000/health', 204))
 * ```
 */
export function waitForURL(url: string, statusCode: number = 200): ReadyCmd {
  return new ReadyCmd(`curl -s -o /dev/null -w "%{http_code}" ${shellQuote(url)} | grep -q "${statusCode}"`)
}

/**
 * Ready once a process of this name runs. Needs `pgrep` (procps) in the image.
 *
 * @example
 * ```ts
 * template.setStartCmd('nginx', waitForProcess('nginx'))
 * ```
 */
export function waitForProcess(processName: string): ReadyCmd {
  return new ReadyCmd(`pgrep ${shellQuote(processName)} > /dev/null`)
}

/**
 * Ready once a regular file exists.
 *
 * @example
 * ```ts
 * template.setStartCmd('./prepare.sh', waitForFile('/tmp/prepared'))
 * ```
 */
export function waitForFile(filename: string): ReadyCmd {
  return new ReadyCmd(`[ -f ${shellQuote(filename)} ]`)
}

/**
 * Ready after a fixed time.
 *
 * @param timeout milliseconds, counted in whole seconds (rounded down), at least one
 * @example
 * ```ts
 * template.setStartCmd('./warm-up.sh', waitForTimeout(5_000))
 * ```
 */
export function waitForTimeout(timeout: number): ReadyCmd {
  return new ReadyCmd(`sleep ${Math.max(1, Math.floor(timeout / 1000))}`)
}
