import { InvalidArgumentError, Option } from 'commander'
import { parseWholeNumber } from './whole-number.ts'

const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 }

/** `--age 7d`, read as seconds. */
export const ageOption = (description: string): Option =>
  new Option('--age <age>', description).argParser(parseAge)

/** @returns seconds of `90s`, `30m`, `12h`, `7d`, `2w` */
export function parseAge(text: string): number {
  const unit = SECONDS[text.slice(-1)]
  if (unit === undefined)
    throw new InvalidArgumentError(
      `'${text}' is not an age: give a whole number with s, m, h, d or w, eg. 7d.`,
    )
  return parseWholeNumber(text.slice(0, -1), { most: Math.floor(Number.MAX_SAFE_INTEGER / unit) }) * unit
}
