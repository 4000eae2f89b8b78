import { Resolver } from 'node:dns/promises'
import { BlockList } from 'node:net'

const TIMEOUT_MS = 2_000
/** Documentation ranges of RFC 5737, which the internet does not use: only hosts of a lab have such addresses. */
const DOCUMENTATION = new BlockList()
for (const network of ['192.0.2.0', '198.51.100.0', '203.0.113.0']) DOCUMENTATION.addSubnet(network, 24)

/**
 * Finds the addresses of package registries in labs without internet, which resolve the registries' names to documentation
 * addresses. Without an exception sandboxes could not reach these addresses, and no template could install packages.
 * @param resolve queries this machine's own name server, which the administrator trusts
 * @returns one `/32` for each such address, and no address of another range, whatever the name server answers
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
