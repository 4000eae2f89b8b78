import { BLOCKED_RANGES } from './blocked-ranges.ts'
import { DNS_ADDRESS } from './dns-address.ts'
import type { HostNetworks } from './host-networks.ts'

/** One instruction of classic BPF (`linux/filter.h`): code, jump if true, jump if false, operand. */
type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, operand: number]

/** Results for `tc`'s bpf classifier: the filter matches, or the next filter decides. A load past the end returns 0. */
const PASS = 0xffffffff
const DROP = 0

const load32 = (at: number): Instruction => [0x20, 0, 0, at]
const load16 = (at: number): Instruction => [0x28, 0, 0, at]
const load8 = (at: number): Instruction => [0x30, 0, 0, at]
/** Loads the length of the IPv4 header at offset `at` into X. */
const loadHeaderLength = (at: number): Instruction => [0xb1, 0, 0, at]
const load16AfterHeader = (at: number): Instruction => [0x48, 0, 0, at]
const load8AfterHeader = (at: number): Instruction => [0x50, 0, 0, at]
const and = (mask: number): Instruction => [0x54, 0, 0, mask]
const verdict = (value: number): Instruction => [0x06, 0, 0, value]
const skipUnless = (value: number, skipped: number): Instruction => [0x15, 0, skipped, value]
const skipIf = (value: number, skipped: number): Instruction => [0x15, skipped, 0, value]
const skipUnlessAnyBit = (mask: number, skipped: number): Instruction => [0x45, 0, skipped, mask]

const when = (value: number, block: Instruction[]): Instruction[] => [
  skipUnless(value, block.length),
  ...block,
]
const require = (value: number): Instruction[] => [skipIf(value, 1), verdict(DROP)]

/** Offsets into an Ethernet frame. */
const ETHER_TYPE = 12
const IP = 14
const FRAGMENT = IP + 6
const PROTOCOL = IP + 9
const SOURCE = IP + 12
const DESTINATION = IP + 16
const ARP_SENDER = IP + 14
const ARP_TARGET = IP + 24
const ETHER_TYPE_IP = 0x0800
const ETHER_TYPE_ARP = 0x0806
const [ICMP, TCP, UDP] = [1, 6, 17]
const DNS_PORT = 53
const [SYN, ACK] = [0x02, 0x10]
/** Mask for "more fragments" and the fragment offset. */
const FRAGMENTED = 0x3fff
const ICMP_ANSWERS = { echoReply: 0, unreachable: 3 }

export interface SlotProgramOptions {
  gateway: string
  sandbox: string
  /** CIDR of all slots. */
  range: string
  host: HostNetworks
  /** Exceptions from the blocked ranges, set by an administrator. */
  allowedRanges: readonly string[]
}

/**
 * Returns the program that limits which packets may leave a slot through its veth, independently of nftables: only IPv4
 * from the sandbox's own address, never to the host, other slots or blocked ranges; only answers to the gateway, and DNS
 * to `DNS_ADDRESS`.
 * @returns classic BPF in the format of `tc filter … bpf bytecode`
 */
export function slotProgram({ gateway, sandbox, range, host, allowedRanges }: SlotProgramOptions): string {
  const unfragmented = [load16(FRAGMENT), skipUnlessAnyBit(FRAGMENTED, 1), verdict(DROP)]
  const dns = [
    ...unfragmented,
    load8(PROTOCOL),
    skipIf(UDP, 2),
    ...require(TCP),
    loadHeaderLength(IP),
    load16AfterHeader(IP + 2),
    ...require(DNS_PORT),
    verdict(PASS),
  ]
  const answers = [
    ...unfragmented,
    loadHeaderLength(IP),
    load8(PROTOCOL),
    ...when(TCP, [load8AfterHeader(IP + 13), and(SYN | ACK), ...when(SYN, [verdict(DROP)]), verdict(PASS)]),
    ...require(ICMP),
    load8AfterHeader(IP),
    skipIf(ICMP_ANSWERS.echoReply, 2),
    ...require(ICMP_ANSWERS.unreachable),
    verdict(PASS),
  ]
  const arp = [
    load32(ARP_SENDER),
    ...require(toNumber(sandbox)),
    load32(ARP_TARGET),
    ...require(toNumber(gateway)),
    verdict(PASS),
  ]
  const to = (cidr: string, value: number) => toRange(cidr, [verdict(value)])
  return toBytecode([
    load16(ETHER_TYPE),
    ...when(ETHER_TYPE_ARP, arp),
    ...require(ETHER_TYPE_IP),
    load8(IP),
    and(0xf0),
    ...require(0x40),
    load32(SOURCE),
    ...require(toNumber(sandbox)),
    load32(DESTINATION),
    ...when(toNumber(DNS_ADDRESS), dns),
    ...when(toNumber(gateway), answers),
    ...[range, ...host.addresses].flatMap((cidr) => to(cidr, DROP)),
    ...allowedRanges.flatMap((cidr) => to(cidr, PASS)),
    ...[...BLOCKED_RANGES, ...host.networks].flatMap((cidr) => to(cidr, DROP)),
    verdict(PASS),
  ])
}

/** A program that drops everything. */
export const DROP_ALL = '1,6 0 0 2'

function toRange(cidr: string, block: Instruction[]): Instruction[] {
  const [address, bits = '32'] = cidr.split('/')
  const mask = Number(bits) === 0 ? 0 : (0xffffffff << (32 - Number(bits))) >>> 0
  const network = (toNumber(address!) & mask) >>> 0
  return [load32(DESTINATION), and(mask), ...when(network, block)]
}

const toBytecode = (program: readonly Instruction[]): string =>
  [program.length, ...program.map((instruction) => instruction.join(' '))].join(',')

const toNumber = (address: string): number =>
  address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0)
