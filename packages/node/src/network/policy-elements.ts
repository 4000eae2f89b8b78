import { type Cidr, endOf, parseCidr, toAddress, toNumber } from '@sandlot/protocol/cidr'
import { ALL_RANGES, isClosed, type NetworkPolicy, needsProxy } from '@sandlot/protocol/node'
import type { Slot } from './slot.ts'

/** Identifies a slot in the rules. */
export type SlotKey = Pick<Slot, 'interfaceName' | 'address'>

/** Elements of the table's sets, by name of the set. */
export type Elements = Map<string, Set<string>>

/** Sets of slots that may reach something, by the chain that decides what. Slots in none of them are closed. */
export const SLOT_SETS = ['open', 'ranged', 'ranged_without_dns'] as const
/** Sets of slots with connections for the proxy, by the chain that decides which. All these slots are in `diverted` too. */
export const DIVERSION_SETS = [
  'names_diverted',
  'web_diverted',
  'tcp_diverted',
  'tcp_but_dns_diverted',
] as const

/** Sets of the ranges of slots. */
export const RANGE_SETS = ['allow_hosts', 'allow_prefixes', 'deny_hosts', 'deny_prefixes'] as const

type SlotSet = (typeof SLOT_SETS)[number]
type DiversionSet = (typeof DIVERSION_SETS)[number]

/** Formats the element of a slot. */
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
  const add = (name: string, element: string) => {
    const found = elements.get(name) ?? new Set()
    elements.set(name, found.add(element))
  }
  const key = keyOf(slot)
  add(slotSetOf(policy), key)
  const diversion = diversionOf(policy)
  if (diversion || wasDiverted) add('diverted', key)
  if (diversion) add(diversion, key)
  if (policy.allowNames.length > 0) add('resolved', key)
  for (const [kind, ranges] of [
    ['allow', policy.allowRanges],
    ['deny', policy.denyRanges],
  ] as const)
    for (const range of distinct(ranges))
      add(`${kind}_${range.bits === 32 ? 'hosts' : 'prefixes'}`, rangeElement(slot, range))
  return elements
}

/**
 * Formats the element of a range. One set holds prefixes of all lengths, because each command of nft reads the list of all
 * sets; so the end of the prefix is marked: the bit after the prefix is set, and those that follow are clear.
 */
function rangeElement({ interfaceName }: SlotKey, { network, bits }: Cidr): string {
  const end = bits === 32 ? 0 : toNumber(endOf(bits))
  return `"${interfaceName}" . ${toAddress(network + end)}`
}

function slotSetOf(policy: NetworkPolicy): SlotSet {
  const { allowRanges, allowNames, denyRanges } = policy
  if (allowNames.length > 0 || denyRanges.includes(ALL_RANGES)) return 'ranged_without_dns'
  return denyRanges.length > 0 || allowRanges.length > 0 || needsProxy(policy) ? 'ranged' : 'open'
}

function diversionOf(policy: NetworkPolicy): DiversionSet | undefined {
  if (!needsProxy(policy) || isClosed(policy)) return undefined
  if (policy.proxy) return policy.allowNames.length > 0 ? 'tcp_but_dns_diverted' : 'tcp_diverted'
  return Object.keys(policy.transforms ?? {}).length > 0 ? 'web_diverted' : 'names_diverted'
}

function distinct(ranges: readonly string[]): Cidr[] {
  const found = ranges.map(parseCidr)
  return [...new Map(found.map((range) => [`${range.network}/${range.bits}`, range])).values()]
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
      return command('delete', name, gone)
    }),
    ...names.flatMap((name) => {
      const added = [...(after.get(name) ?? none).difference(before.get(name) ?? none)]
      return command('add', name, added)
    }),
  ]
}

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
