import type { LiveMachine } from '../machines/machine.ts'

/** Computes how many packets beyond the limit of connections were refused of each team, from counters that only grow. */
export class LimitRefusals {
  #before: ReadonlyMap<string, number> = new Map()

  /**
   * @param counters by interface of the slot
   * @returns packets since the last call by team, without those of machines that have ended meanwhile
   */
  since(counters: ReadonlyMap<string, number>, machines: Iterable<LiveMachine>): Map<string, number> {
    const packets = new Map<string, number>()
    if (counters.size > 0)
      for (const { slot, owner } of machines) {
        const now = counters.get(slot.interfaceName) ?? 0
        const before = this.#before.get(slot.interfaceName) ?? 0
        // a table that was replaced begins at zero
        const grown = now >= before ? now - before : now
        if (owner && grown > 0) packets.set(owner.teamId, (packets.get(owner.teamId) ?? 0) + grown)
      }
    this.#before = counters
    return packets
  }
}
