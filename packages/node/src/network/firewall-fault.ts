import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CommandError, run } from '../host/run.ts'
import { namesFor } from '../instance-names.ts'

/** File in which a server says why its machines stand still; there while they do. */
export const faultFileOf = (runDir: string): string => join(runDir, 'firewall-fault')

/**
 * For processes beside the server, as root.
 * @returns why the firewall of the running instance does not hold; undefined: it does @throws CommandError nft does not start
 */
export async function firewallFault(home: string): Promise<string | undefined> {
  const said = await readFile(faultFileOf(join(home, 'run')), 'utf8').catch(() => undefined)
  if (said) return said
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
