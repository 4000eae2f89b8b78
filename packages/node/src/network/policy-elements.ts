import { ALL_RANGES, isClosed, type NetworkPolicy, needsProxy } from '@sandlot/protocol/node'
import { type Cidr, networkOf, parseCidr, toAddress } from './cidr.ts'
import type { Slot } from './slot.ts'

/** Identifies a slot in the rules. */
export type SlotKey = Pick<Slot, 'interfaceName' | 'address'>

/**
 * Elements of the table's sets and maps, by name of the set or map. An element of a map ends with ` : ` and a verdict.
 */
export type Elements = Map<string, Set<string>>

/** Chains of the forward hook that a slot with a sandbox is sent to. Slots without an element are closed. */
export type SlotChain = 'internet' | 'by_range' | 'by_range_without_dns'

/** Chains that decide which connections go to the proxy. */
export type DiversionChain =
  | 'divert_nothing'
  | 'divert_names'
  | 'divert_web'
  | 'divert_tcp'
  | 'divert_tcp_but_dns'

/** Formats the key of a slot. */
const keyOf = ({ interfaceName, address }: SlotKey): string => `"${interfaceName}" . ${address}`

export interface ElementsOptions {
  /** Whether the proxy may still have connections of the slot from an earlier policy. */
  wasDiverted?: boolean
}

/** Returns what the table must contain for a slot with this policy. */
export function elementsOf(
  slot: SlotKey,
  policy: NetworkPolicy,
  { wasDiverted = false }: ElementsOptions = {},
): Elements {
  const elements: Elements = new Map()
  if (isClosed(policy)) return elements
  const add = (name: string, element: string) => {
    const found = elements.get(name) ?? new Set()
    elements.set(name, found.add(element))
  }
  const key = keyOf(slot)
  add('policies', `${key} : goto ${slotChainOf(policy)}`)
  const diversion = diversionOf(policy) ?? (wasDiverted ? 'divert_nothing' : undefined)
  if (diversion) add('diverted', `${key} : goto ${diversion}`)
  if (policy.allowNames.length > 0) add('resolved', key)
  const inside = (network: number) => `"${slot.interfaceName}" . ${toAddress(network)}`
  const allowed = distinct(policy.allowRanges)
  for (const { network, bits } of allowed.values()) {
    add(`policy_${bits}`, `${inside(network)} : goto to_internet`)
    if (diversion === 'divert_names') add(`direct_${bits}`, inside(network))
  }
  // longer prefixes are looked up first, so what is denied inside an allowed range must not be looked up at all
  for (const range of distinct(policy.denyRanges).values())
    if (!isInside(range, allowed))
      add(`policy_${range.bits}`, `${inside(range.network)} : goto refused_policy`)
  return elements
}

function slotChainOf(policy: NetworkPolicy): SlotChain {
  const { allowRanges, allowNames, denyRanges } = policy
  if (allowNames.length > 0 || denyRanges.includes(ALL_RANGES)) return 'by_range_without_dns'
  return denyRanges.length > 0 || allowRanges.length > 0 || needsProxy(policy) ? 'by_range' : 'internet'
}

function diversionOf(policy: NetworkPolicy): DiversionChain | undefined {
  if (!needsProxy(policy) || isClosed(policy)) return undefined
  const hasNames = policy.allowNames.length > 0
  if (policy.proxy) return hasNames ? 'divert_tcp_but_dns' : 'divert_tcp'
  return Object.keys(policy.transforms ?? {}).length > 0 ? 'divert_web' : 'divert_names'
}

const idOf = ({ network, bits }: Cidr): string => `${network}/${bits}`

const distinct = (ranges: readonly string[]): Map<string, Cidr> =>
  new Map(ranges.map(parseCidr).map((range) => [idOf(range), range]))

function isInside({ network, bits }: Cidr, ranges: ReadonlyMap<string, Cidr>): boolean {
  for (let length = bits; length >= 0; length--) if (ranges.has(idOf(networkOf(network, length)))) return true
  return false
}

/** Returns the commands that turn the elements of a slot into others; several commands are one transaction in one line. */
export function changeCommands(table: string, before: Elements, after: Elements): string[] {
  const none = new Set<string>()
  const names = [...new Set([...before.keys(), ...after.keys()])]
  const command = (verb: string, name: string, elements: string[]) =>
    elements.length > 0 ? [`${verb} element inet ${table} ${name} { ${elements.join(', ')} }`] : []
  return [
    ...names.flatMap((name) => {
      const gone = [...(before.get(name) ?? none).difference(after.get(name) ?? none)]
      return command('delete', name, gone.map(withoutVerdict))
    }),
    ...names.flatMap((name) => {
      const added = [...(after.get(name) ?? none).difference(before.get(name) ?? none)]
      return command('add', name, added)
    }),
  ]
}

const withoutVerdict = (element: string): string => element.split(' : ')[0]!

/** Returns the elements of all slots together. */
export function joinElements(all: Iterable<Elements>): Elements {
  const joined: Elements = new Map()
  for (const elements of all)
    for (const [name, one] of elements) {
      const found = joined.get(name) ?? new Set()
      for (const element of one) found.add(element)
      joined.set(name, found)
    }
  return joined
}
