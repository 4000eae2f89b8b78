import { editDistance } from '@sandlot/protocol'

const LETTERS = 2

/** Returns the names that differ from `wanted` in at most two letters. */
export const nearNames = (wanted: string, names: string[]): string[] =>
  names.filter((name) => editDistance(name, wanted.toLowerCase(), LETTERS) <= LETTERS)
