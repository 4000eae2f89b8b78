import { Resolver } from 'node:dns/promises'
import { BlockList } from 'node:net'

const TIMEOUT_MS = 2_000
/** RFC 5737: nothing of the internet is there, so only what a lab gives its machines answers. */
const DOCUMENTATION = new BlockList()
for (const network of ['192.0.2.0', '198.51.100.0', '203.0.113.0']) DOCUMENTATION.addSubnet(network, 24)

/**
 * Labs without internet lead the names of package registries to addresses for documentation, which sandboxes do not
 * reach otherwise: without a hole for these, no template could install a package there.
 * @param resolve asks this machine's own name server, whom the administrator trusts
 * @returns one `/32` for each such address; of no other range, whatever the name server says
 */
export async function labRegistries(
  names: readonly string[],
  resolve: (name: string) => Promise<string[]> = ownResolver(),
): Promise<string[]> {
  const answers = await Promise.all(names.map((name) => resolve(name).catch(() => [])))
  const addresses = answers.flat().filter((address) => DOCUMENTATION.check(address))
  return [...new Set(addresses)].sort().map((address) => `${address}/32`)
}

function ownResolver(): (name: string) => Promise<string[]> {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: 1 })
  return (name) => resolver.resolve4(name)
}
