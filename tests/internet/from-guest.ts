import { readFile } from 'node:fs/promises'
import type { Sandbox } from 'e2b-official'

const program = new URL('tries.py', import.meta.url)
const TIMEOUT_MS = 60_000

/** One way out that a sandbox tries. */
export type Try =
  | {
      /** Requested by curl, which trusts the internet's authority. */
      url: string
      /** More arguments for curl. */
      args?: string[]
      /** curl trusts what any program of the sandbox trusts. */
      trustsSystemOnly?: boolean
      /** Default: 2. */
      seconds?: number
    }
  /** `host:port` of an echo. */
  | { tcp: string }
  | { udp: string; text?: string }
  | { dns: string; server?: string; overTcp?: boolean; kind?: number }

export interface TryResult {
  /** Something came back. For an URL whatever the status is. */
  ok: boolean
  error?: string
  status?: number
  body?: string
  /** Address of the server that answered. */
  address?: string
  /** The last address of a DNS answer. */
  addresses?: string[]
}

/** Tries all at a time from inside a sandbox. @param trusted PEM of the internet's authority */
export async function tryAll(sandbox: Sandbox, trusted: string, tries: readonly Try[]): Promise<TryResult[]> {
  const list = `/tmp/tries-${Math.random().toString(36).slice(2)}.json`
  await sandbox.files.write([
    { path: '/tmp/tries.py', data: await readFile(program, 'utf8') },
    { path: '/tmp/trusted.pem', data: trusted },
    { path: list, data: JSON.stringify(tries) },
  ])
  const { stdout } = await sandbox.commands.run(`python3 /tmp/tries.py ${list}`, { timeoutMs: TIMEOUT_MS })
  return JSON.parse(stdout)
}

/**
 * Tries a table, names of rows to tries.
 * @returns names of those that reached the internet; answers of a proxy on the way do not count
 */
export async function reachedOf(
  sandbox: Sandbox,
  trusted: string,
  table: Record<string, Try>,
): Promise<string[]> {
  const tries = Object.values(table)
  const results = await tryAll(sandbox, trusted, tries)
  return Object.keys(table).filter((_, index) => {
    const { ok, address } = results[index]!
    return 'url' in tries[index]! ? address !== undefined : ok
  })
}
