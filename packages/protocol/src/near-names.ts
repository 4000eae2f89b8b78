/** Finds the known word that a typo most likely meant. @returns undefined when all differ in more than a third of the letters */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Math.ceil(word.length / 3) + 1
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), bestDistance)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/**
 * Levenshtein distance of two words, computed up to `limit`: only cells within `limit` of the diagonal are filled, so
 * that comparing with thousands of names is fast.
 *
 * @returns `limit` + 1 when the distance is larger
 */
export function editDistance(a: string, b: string, limit: number): number {
  const beyond = limit + 1
  if (Math.abs(a.length - b.length) > limit) return beyond
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  let next = [...row]
  for (let i = 1; i <= a.length; i++) {
    const [from, to] = [Math.max(1, i - limit), Math.min(b.length, i + limit)]
    next[from - 1] = from === 1 ? i : beyond
    for (let j = from; j <= to; j++)
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
    if (to < b.length) next[to + 1] = beyond
    ;[row, next] = [next, row]
  }
  return Math.min(row[b.length]!, beyond)
}
