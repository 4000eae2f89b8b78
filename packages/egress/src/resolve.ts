import { Resolver } from 'node:dns/promises'
import { DialError } from './connection.ts'

/** Addresses are looked up again after this time even when their TTL is longer, so that rules follow a change of DNS. */
const MAX_TTL_S = 30
const MAX_CACHED_NAMES = 10_000
const MAX_LOOKUPS = 10_000
/** Servers of hostile names answer as late as they can, so that lookups pile up. */
const MAX_LOOKUPS_PER_SANDBOX = 100
const QUERY_TIMEOUT_MS = 2_000
const TRIES = 3

/**
 * Resolves names to IPv4 addresses by c-ares: `getaddrinfo` would occupy the threads that file I/O runs on. Sandboxes have
 * no IPv6, and neither have the lists of closed ranges, so IPv6 addresses are not asked for.
 */
export class NameResolver {
  readonly #servers: string[]
  /** One for each lookup: a resolver that is used again lowers its timeouts after fast answers, and slow names fail. */
  readonly #resolvers = new Set<Resolver>()
  readonly #cached = new Map<string, { addresses: string[]; expiresAtMs: number }>()
  readonly #lookups = new Map<string, Promise<string[]>>()
  readonly #countBySandbox = new Map<string, number>()

  /** @param servers IPv4 addresses, with `:port` unless it is 53 */
  constructor(servers: string[]) {
    this.#servers = servers
  }

  /**
   * @param sandboxId for which the name is looked up
   * @throws DialError name_not_found, name_lookup_failed
   */
  resolve(name: string, sandboxId: string): Promise<string[]> {
    const cached = this.#cached.get(name)
    if (cached && cached.expiresAtMs > Date.now()) return Promise.resolve(cached.addresses)
    const running = this.#lookups.get(name)
    if (running) return running
    const count = this.#countBySandbox.get(sandboxId) ?? 0
    if (count >= MAX_LOOKUPS_PER_SANDBOX || this.#lookups.size >= MAX_LOOKUPS)
      return Promise.reject(
        new DialError(
          'name_lookup_failed',
          `'${name}' was not looked up: ${count} lookups of the sandbox are running`,
        ),
      )
    this.#countBySandbox.set(sandboxId, count + 1)
    const lookup = this.#lookUp(name).finally(() => this.#forget(name, sandboxId))
    this.#lookups.set(name, lookup)
    return lookup
  }

  close(): void {
    for (const resolver of this.#resolvers) resolver.cancel()
  }

  #forget(name: string, sandboxId: string): void {
    this.#lookups.delete(name)
    const left = this.#countBySandbox.get(sandboxId)! - 1
    if (left > 0) this.#countBySandbox.set(sandboxId, left)
    else this.#countBySandbox.delete(sandboxId)
  }

  async #lookUp(name: string): Promise<string[]> {
    const resolver = new Resolver({ timeout: QUERY_TIMEOUT_MS, tries: TRIES })
    resolver.setServers(this.#servers)
    this.#resolvers.add(resolver)
    try {
      // the dot keeps the search domains of the host out
      const answers = await resolver.resolve4(`${name}.`, { ttl: true })
      const addresses = answers.map(({ address }) => address)
      this.#remember(name, addresses, Math.min(MAX_TTL_S, ...answers.map(({ ttl }) => ttl)))
      return addresses
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      const isAbsent = code === 'ENOTFOUND' || code === 'ENODATA'
      throw new DialError(
        isAbsent ? 'name_not_found' : 'name_lookup_failed',
        `'${name}' has no IPv4 address: ${code}`,
        { cause: error },
      )
    } finally {
      this.#resolvers.delete(resolver)
    }
  }

  #remember(name: string, addresses: string[], ttlS: number): void {
    this.#cached.delete(name)
    if (ttlS <= 0) return
    if (this.#cached.size >= MAX_CACHED_NAMES) {
      const [oldest] = this.#cached.keys()
      this.#cached.delete(oldest!)
    }
    this.#cached.set(name, { addresses, expiresAtMs: Date.now() + ttlS * 1_000 })
  }
}
