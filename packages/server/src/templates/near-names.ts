/** Finds names that a caller may have meant by `wanted`: at most two letters differ. */
export const nearNames = (wanted: string, names: string[]): string[] =>
  names.filter((name) => distance(name, wanted.toLowerCase()) <= 2)

/** Levenshtein distance, up to 2: computes only the cells at most two places beside the diagonal. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  let next = [...row]
  for (let i = 1; i <= a.length; i++) {
    const [from, to] = [Math.max(1, i - 2), Math.min(b.length, i + 2)]
    next[from - 1] = from === 1 ? i : 3
    for (let j = from; j <= to; j++)
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
    if (to < b.length) next[to + 1] = 3
    ;[row, next] = [next, row]
  }
  return row[b.length]!
}
