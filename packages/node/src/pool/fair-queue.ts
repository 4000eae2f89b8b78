/**
 * A queue in which owners take turns, each with its items in order of arrival, so that an owner with a hundred items does
 * not delay another owner by all of them.
 */
export class FairQueue<T> {
  /** Items by owner; the first owner has the next turn. */
  readonly #items = new Map<string, T[]>()

  /** Number of items of all owners. */
  get size(): number {
    let size = 0
    for (const items of this.#items.values()) size += items.length
    return size
  }

  add(owner: string, item: T): void {
    const own = this.#items.get(owner)
    if (own) own.push(item)
    else this.#items.set(owner, [item])
  }

  /** Idempotent: unknown items are ignored. */
  remove(owner: string, item: T): void {
    const own = this.#items.get(owner)
    const index = own?.indexOf(item) ?? -1
    if (index === -1) return
    own!.splice(index, 1)
    if (own!.length === 0) this.#items.delete(owner)
  }

  /** Removes the first match in order of turns, which uses up its owner's turn. */
  take(isMatch: (item: T) => boolean): T | undefined {
    for (const [owner, item] of this.#inTurn()) {
      if (!isMatch(item)) continue
      this.remove(owner, item)
      this.#passTurn(owner)
      return item
    }
    return undefined
  }

  /** Uses up the turn of the first match's owner, without removing the item. */
  postpone(isMatch: (item: T) => boolean): void {
    for (const [owner, item] of this.#inTurn())
      if (isMatch(item)) {
        this.#passTurn(owner)
        return
      }
  }

  /** Iterates in order of turns. The queue must not change meanwhile. */
  *[Symbol.iterator](): Generator<T> {
    for (const [, item] of this.#inTurn()) yield item
  }

  *#inTurn(): Generator<[owner: string, item: T]> {
    for (let round = 0; ; round++) {
      let isOver = true
      for (const [owner, items] of this.#items) {
        if (round >= items.length) continue
        isOver = false
        yield [owner, items[round]!]
      }
      if (isOver) return
    }
  }

  #passTurn(owner: string): void {
    const own = this.#items.get(owner)
    if (!own) return
    this.#items.delete(owner)
    this.#items.set(owner, own)
  }
}
