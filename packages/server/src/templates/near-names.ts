import { editDistance } from '@sandlot/protocol'

const LETTERS = 2

/** Names that `wanted` may have meant: at most two letters away. */
export const nearNames = (wanted: string, names: string[]): string[] =>
  names.filter((name) => editDistance(name, wanted.toLowerCase(), LETTERS) <= LETTERS)
