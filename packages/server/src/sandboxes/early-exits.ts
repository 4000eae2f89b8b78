/** Far more than machines that can be starting at a time. */
const MAX_REMEMBERED = 10_000

/**
 * Exits of machines that belong to no sandbox yet: a machine can die while its sandbox is being created, resumed or
 * rolled back, and the node reports an exit only once.
 */
export class EarlyExits {
  /** Reasons by machine id, the oldest first. */
  readonly #reasons = new Map<string, string>()

  add(machineId: string, reason: string): void {
    this.#reasons.set(machineId, reason)
    if (this.#reasons.size > MAX_REMEMBERED) this.#reasons.delete(this.#reasons.keys().next().value!)
  }

  /** @returns why the machine ended, once; undefined: no exit was reported */
  take(machineId: string): string | undefined {
    const reason = this.#reasons.get(machineId)
    this.#reasons.delete(machineId)
    return reason
  }
}
