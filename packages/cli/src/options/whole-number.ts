import { InvalidArgumentError } from 'commander'

export interface Bounds {
  least?: number
  most?: number
  isEven?: boolean
  /** Unit of the number, for example `seconds`. */
  unit?: string
}

export function parseWholeNumber(text: string, { least = 0, most, isEven, unit = '' }: Bounds = {}): number {
  const number = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
  const isRight = number >= least && number <= (most ?? Number.MAX_SAFE_INTEGER) && !(isEven && number % 2)
  if (isRight) return number
  const range = most === undefined ? `of at least ${least}` : `from ${least} to ${most}`
  throw new InvalidArgumentError(
    `Give ${isEven ? 'an even' : 'a whole'} number${unit && ` of ${unit}`} ${range}.`,
  )
}
