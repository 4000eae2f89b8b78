import { setImmediate as nextTurn } from 'node:timers/promises'
import { shown } from './file-reader.ts'

const STEP = 2_000

/** Keeps the first `max` paths in sort order, however many are added. */
export class PathList {
  readonly #max: number
  readonly #paths: string[] = []

  constructor(max: number) {
    this.#max = max
  }

  add(path: string): void {
    const paths = this.#paths
    if (paths.length === this.#max && path >= paths[this.#max - 1]!) return
    let [low, high] = [0, paths.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (paths[middle]! < path) low = middle + 1
      else high = middle
    }
    paths.splice(low, 0, path)
    if (paths.length > this.#max) paths.pop()
  }

  async toArray(): Promise<string[]> {
    const result: string[] = []
    for (let at = 0; at < this.#paths.length; at += STEP) {
      if (at > 0) await nextTurn()
      for (const path of this.#paths.slice(at, at + STEP)) result.push(shown(path))
    }
    return result
  }
}
