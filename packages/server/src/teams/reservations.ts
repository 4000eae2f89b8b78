/** Counts what each team has reserved at this moment, such as machines that are being started. */
export class Reservations {
  readonly #held = new Map<string, number>()

  of(teamId: string): number {
    return this.#held.get(teamId) ?? 0
  }

  /** @returns a function that releases the reservation; further calls have no effect */
  add(teamId: string, count: number): () => void {
    this.#held.set(teamId, this.of(teamId) + count)
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      const left = this.of(teamId) - count
      if (left > 0) this.#held.set(teamId, left)
      else this.#held.delete(teamId)
    }
  }
}
