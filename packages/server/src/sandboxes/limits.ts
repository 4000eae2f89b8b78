import { SandlotError } from '@sandlot/protocol'
import type { Plan, Team } from '../teams/team.ts'
import type { SandboxRegistry } from './registry.ts'

/** @throws SandlotError invalid_request */
export function checkLength({ maxLengthHours }: Plan, seconds: number): void {
  if (maxLengthHours !== null && seconds > maxLengthHours * 3600)
    throw new SandlotError('invalid_request', `Timeout cannot be greater than ${maxLengthHours} hours`)
}

/** Sandboxes that are being made count like those that run, or a burst would pass the limit. */
export class ConcurrencyLimit {
  readonly #registry: SandboxRegistry
  readonly #reserved = new Map<string, number>()

  constructor(registry: SandboxRegistry) {
    this.#registry = registry
  }

  /**
   * @returns gives the place back, once however often it is called: in the same breath as the sandbox enters the registry
   * @throws SandlotError rate_limited
   */
  reserve({ teamId, name, plan }: Team): () => void {
    const reserved = this.#reserved.get(teamId) ?? 0
    const count = this.#registry.countOf(teamId) + reserved
    const limit = plan.concurrentSandboxes
    if (limit !== null && count >= limit)
      throw new SandlotError(
        'rate_limited',
        `team '${name}' already runs ${count} sandboxes, its plan allows ${limit}; kill one first`,
      )
    this.#reserved.set(teamId, reserved + 1)
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      const left = this.#reserved.get(teamId)! - 1
      if (left > 0) this.#reserved.set(teamId, left)
      else this.#reserved.delete(teamId)
    }
  }
}
