import { describe, expect, test } from 'vitest'
import { BLOCKED_RANGES } from './blocked-ranges.ts'
import { DNS_ADDRESS } from './dns-address.ts'
import { slotProgram } from './slot-program.ts'

const [GATEWAY, SANDBOX, PUBLIC] = ['10.177.0.5', '10.177.0.6', '93.184.216.34']
const program = slotProgram({
  gateway: GATEWAY,
  sandbox: SANDBOX,
  range: '10.177.0.0/16',
  host: { addresses: ['5.9.1.62', '10.1.0.9'], networks: ['5.9.1.0/26'] },
  allowedRanges: ['10.1.0.0/16'],
})

/** Runs classic BPF like the kernel: a load past the end returns 0. */
function passes(frame: Buffer): boolean {
  const instructions = program
    .split(',')
    .slice(1)
    .map((line) => line.split(' ').map(Number) as [number, number, number, number])
  let [accumulator, index] = [0, 0]
  const load = (at: number, size: number) =>
    at + size > frame.length ? undefined : frame.readUIntBE(at, size)
  for (let at = 0; at < instructions.length; at++) {
    const [code, ifTrue, ifFalse, operand] = instructions[at]!
    const sizes: Record<number, number> = { 32: 4, 40: 2, 48: 1, 72: 2, 80: 1 }
    const size = sizes[code]
    if (size !== undefined) {
      const value = load(operand + (code >= 0x40 ? index : 0), size)
      if (value === undefined) return false
      accumulator = value
    } else if (code === 0xb1) index = 4 * (load(operand, 1)! & 0xf)
    else if (code === 0x54) accumulator = (accumulator & operand) >>> 0
    else if (code === 0x15) at += accumulator === operand ? ifTrue : ifFalse
    else if (code === 0x45) at += accumulator & operand ? ifTrue : ifFalse
    else if (code === 0x06) return operand === 0xffffffff
    else throw new Error(`instruction ${code} is not known`)
  }
  throw new Error('the program has no end')
}

const bytes = (address: string) => Buffer.from(address.split('.').map(Number))
const ethernet = (type: number, payload: Buffer) =>
  Buffer.concat([Buffer.alloc(12), Buffer.from([type >> 8, type & 0xff]), payload])

interface Packet {
  from?: string
  to?: string
  protocol?: number
  port?: number
  flags?: number
  icmpType?: number
  fragment?: number
  optionWords?: number
}
function ip({ from = SANDBOX, to = PUBLIC, protocol = 17, optionWords = 0, ...rest }: Packet): Buffer {
  const head = Buffer.alloc(20 + 4 * optionWords)
  head[0] = 0x45 + optionWords
  head.writeUInt16BE(rest.fragment ?? 0, 6)
  head[9] = protocol
  bytes(from).copy(head, 12)
  bytes(to).copy(head, 16)
  const body = Buffer.alloc(20)
  body.writeUInt16BE(rest.port ?? 0, 2)
  if (protocol === 6) body[13] = rest.flags ?? 0x02
  if (protocol === 1) body[0] = rest.icmpType ?? 8
  return ethernet(0x0800, Buffer.concat([head, body]))
}
function arp(sender: string, target: string): Buffer {
  const body = Buffer.alloc(28)
  bytes(sender).copy(body, 14)
  bytes(target).copy(body, 24)
  return ethernet(0x0806, body)
}

describe('packets that may leave a slot without a firewall', () => {
  test.each<[string, Packet]>([
    ['UDP to the internet', {}],
    ['TCP to the internet', { protocol: 6, port: 443 }],
    ['a fragment to the internet', { fragment: 0x2000 }],
    ['DNS over UDP', { to: DNS_ADDRESS, port: 53 }],
    ['DNS over TCP', { to: DNS_ADDRESS, port: 53, protocol: 6 }],
    ['DNS with options in the header', { to: DNS_ADDRESS, port: 53, optionWords: 3 }],
    ['the answer to a connection of the host', { to: GATEWAY, protocol: 6, flags: 0x12 }],
    ['data to the host over its connection', { to: GATEWAY, protocol: 6, flags: 0x18 }],
    ['the answer to a ping of the host', { to: GATEWAY, protocol: 1, icmpType: 0 }],
    ['a range that the administrator opened', { to: '10.1.2.3', protocol: 6 }],
  ])('%s', (_, packet) => expect(passes(ip(packet))).toBe(true))

  test('ARP of the sandbox for its gateway', () => expect(passes(arp(SANDBOX, GATEWAY))).toBe(true))
})

describe('packets that never leave a slot', () => {
  test.each(['10.177.0.4', GATEWAY, '10.177.0.7', '10.177.0.10', '127.0.0.1', '0.0.0.0', PUBLIC])(
    'a packet with the source %s',
    (from) => expect(passes(ip({ from }))).toBe(false),
  )

  test.each([...BLOCKED_RANGES, '5.9.1.0/26', '10.177.0.0/16'])('a packet to %s', (range) => {
    const [a, b, c, d] = bytes(range.split('/')[0]!)
    expect(passes(ip({ to: `${a}.${b}.${c}.${d! + 2}` }))).toBe(false)
  })

  test.each<[string, Packet]>([
    ['an address of the host in a range that was opened', { to: '10.1.0.9' }],
    ['a public address of the host', { to: '5.9.1.62' }],
    ['a new connection to the gateway', { to: GATEWAY, protocol: 6, flags: 0x02 }],
    ['a new connection to the gateway with ECN flags', { to: GATEWAY, protocol: 6, flags: 0xc2 }],
    ['UDP to the gateway', { to: GATEWAY }],
    ['a ping to the gateway', { to: GATEWAY, protocol: 1 }],
    ['a redirect', { to: GATEWAY, protocol: 1, icmpType: 5 }],
    ['a fragment to the gateway', { to: GATEWAY, protocol: 6, flags: 0x10, fragment: 1 }],
    ['another port than that of DNS on the resolver', { to: DNS_ADDRESS, port: 853 }],
    ['a fragment to the resolver', { to: DNS_ADDRESS, port: 53, fragment: 0x2000 }],
    ['another protocol to the resolver', { to: DNS_ADDRESS, port: 53, protocol: 132 }],
  ])('%s', (_, packet) => expect(passes(ip(packet))).toBe(false))

  test.each([
    ['IPv6', ethernet(0x86dd, Buffer.alloc(60))],
    ['a VLAN tag', ethernet(0x8100, Buffer.alloc(60))],
    ['ARP for another address', arp('10.177.0.10', GATEWAY)],
    ['ARP that looks for other addresses', arp(SANDBOX, '10.1.0.9')],
    ['a frame that ends in its header', ip({}).subarray(0, 30)],
    ['DNS without a port', ip({ to: DNS_ADDRESS, port: 53 }).subarray(0, 35)],
    ['an empty frame', Buffer.alloc(0)],
  ])('%s', (_, frame) => expect(passes(frame)).toBe(false))
})
