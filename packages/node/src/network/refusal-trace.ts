/** A packet that the firewall refused. */
export interface Refusal {
  /** Chain that refused the packet. */
  chain: string
  source: string
  address: string
  protocol: string
  port?: number
  sourcePort?: number
}

/** Packets of one connection that are refused again within this time are one refusal, as programs try again. */
const REPEAT_MS = 60_000
const MAX_REMEMBERED = 4_000

/**
 * Reads a line of `nft monitor` that shows the packet, e.g. `trace id 9 inet sandlot_1234 refused_policy packet:
 * iif "sl1234-0" … ip saddr 10.1.0.2 ip daddr 1.2.3.4 … ip protocol tcp … tcp sport 1 tcp dport 443 …`.
 * @returns undefined for other lines and other tables
 */
export function readRefusal(table: string, line: string): Refusal | undefined {
  const [, found, chain, packet] = /^trace id \S+ inet (\S+) (\S+) packet: (.*)$/.exec(line) ?? []
  if (found !== table || !chain || !packet) return undefined
  const value = (name: string) => new RegExp(`(?:^| )${name} (\\S+)`).exec(packet)?.[1]
  const [source, address, protocol = 'other'] = ['ip saddr', 'ip daddr', 'ip protocol'].map(value)
  if (!source || !address) return undefined
  const [port, sourcePort] = ['dport', 'sport'].map((name) => Number(value(`${protocol} ${name}`)))
  return { chain, source, address, protocol, ...(port && { port, sourcePort }) }
}

/** Recognizes repeated packets. */
export class Repeats {
  /** Time of the last packet of each connection, the oldest first. */
  readonly #seenAtMs = new Map<string, number>()

  /** @returns whether a packet like this was refused within the last minute */
  isRepeated(refusal: Refusal, nowMs = Date.now()): boolean {
    const key = JSON.stringify(refusal)
    const seenAtMs = this.#seenAtMs.get(key)
    this.#seenAtMs.delete(key)
    this.#seenAtMs.set(key, nowMs)
    if (this.#seenAtMs.size > MAX_REMEMBERED) this.#seenAtMs.delete(this.#seenAtMs.keys().next().value!)
    return seenAtMs !== undefined && nowMs - seenAtMs < REPEAT_MS
  }
}
