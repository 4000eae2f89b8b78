import type { SecureContext } from 'node:tls'
import type { Dial, Target } from '../connection.ts'
import { Origin } from './origin.ts'

/** An origin that is forgotten keeps its open requests; its idle connections close by themselves. */
const MAX_ORIGINS = 4_096

/** The servers that sandboxes talk to. Connections are never shared between sandboxes. */
export class Origins {
  readonly #dial: Dial
  readonly #context: SecureContext
  /** The origin that was used last is the last entry. */
  readonly #origins = new Map<string, Origin>()

  /** @param context what upstream servers are verified with */
  constructor(dial: Dial, context: SecureContext) {
    this.#dial = dial
    this.#context = context
  }

  /** @param serverName name to verify the server's certificate for; absent: HTTP without encryption */
  originFor(sandboxId: string, target: Target, serverName: string | undefined): Origin {
    const { name = '', address, port, proxy } = target
    // The address does not matter when the name is dialled.
    const key = JSON.stringify([sandboxId, serverName ?? '', name, name === '' ? address : '', port, proxy])
    const known = this.#origins.get(key)
    this.#origins.delete(key)
    const origin =
      known ??
      new Origin({
        target,
        dial: this.#dial,
        ...(serverName !== undefined && { tls: { context: this.#context, serverName } }),
      })
    this.#origins.set(key, origin)
    const [oldest] = this.#origins.keys()
    if (this.#origins.size > MAX_ORIGINS && oldest !== undefined) this.#origins.delete(oldest)
    return origin
  }
}
