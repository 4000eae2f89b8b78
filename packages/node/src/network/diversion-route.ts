import { run } from '../host/run.ts'
import type { InstanceNames } from '../instance-names.ts'
import { DNS_ADDRESS } from './dns-address.ts'

const IP_TIMEOUT_MS = 10_000
/** Before the rules of VPNs, which would route marked packets elsewhere. */
const RULE_PRIORITY = 90

/** Runs `ip` and ignores one kind of failure: what is to be added exists, or what is to be removed does not. */
async function ip(args: string[], ignored: RegExp): Promise<void> {
  await run('ip', args, { timeoutMs: IP_TIMEOUT_MS }).catch((error) => {
    if (!ignored.test(String(error))) throw error
  })
}

const ruleOf = ({ mark }: InstanceNames): string[] => [
  ...['fwmark', String(mark), 'lookup', String(mark)],
  ...['priority', String(RULE_PRIORITY)],
]

/**
 * Delivers packets with the instance's mark to this machine, whatever their destination, and makes the resolver's address
 * one of this machine. Idempotent.
 */
export async function addDiversionRoute(names: InstanceNames, dnsAddress: string): Promise<void> {
  await ip(['rule', 'add', ...ruleOf(names)], /File exists/)
  await ip(['route', 'replace', 'local', 'default', 'dev', 'lo', 'table', String(names.mark)], /^$/)
  await addResolverRoute(dnsAddress)
}

/** Makes an address one of this machine, without an interface that has it. Idempotent. */
export async function addResolverRoute(address: string): Promise<void> {
  if (!address.startsWith('127.'))
    await ip(['route', 'replace', 'local', address, 'dev', 'lo', 'table', 'local'], /^$/)
}

/** Removes what `addDiversionRoute` has added; the resolver's address stays while another instance has a table. */
export async function removeDiversionRoute(names: InstanceNames): Promise<void> {
  await ip(['rule', 'del', ...ruleOf(names)], /No such file|No such process/)
  await ip(['route', 'flush', 'table', String(names.mark)], /does not exist|No such|invalid/i)
  const { stdout } = await run('nft', ['list', 'tables', 'inet'], { timeoutMs: IP_TIMEOUT_MS })
  const others = stdout.match(/\bsandlot_[0-9a-f]{4}$/gm)?.filter((table) => table !== names.nftTable)
  if (!others?.length)
    await ip(['route', 'del', 'local', DNS_ADDRESS, 'dev', 'lo', 'table', 'local'], /No such/)
}
