import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CommandError, run } from '../host/run.ts'
import { namesFor } from '../instance-names.ts'

/** File in which a server writes why its machines are stalled; exists while machines are stalled. */
export const faultFileOf = (runDir: string): string => join(runDir, 'firewall-fault')

/**
 * Checks the firewall of a running instance from a process other than the server. Needs root.
 * @returns what is wrong with the firewall, undefined when it is intact
 * @throws CommandError when nft cannot be started
 */
export async function firewallFault(home: string): Promise<string | undefined> {
  const reported = await readFile(faultFileOf(join(home, 'run')), 'utf8').catch(() => undefined)
  if (reported) return reported
  const table = namesFor(home).nftTable
  try {
    await run('nft', ['list', 'set', 'inet', table, 'open'], { timeoutMs: 5_000 })
    return undefined
  } catch (error) {
    if (error instanceof CommandError && error.exitCode !== null)
      return `the firewall table '${table}' is gone`
    throw error
  }
}
