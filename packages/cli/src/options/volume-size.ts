import { InvalidArgumentError } from 'commander'

const MB_BY_UNIT: Record<string, number> = { M: 1, G: 1024, T: 1024 ** 2 }

/** Reads a size such as `500M` or `20G`. @returns MB */
export function volumeSizeArgument(text: string): number {
  const [, digits, unit] = /^([1-9]\d{0,8})([MGT])i?B?$/i.exec(text) ?? []
  if (digits === undefined || unit === undefined)
    throw new InvalidArgumentError('It must be a whole number with M, G or T, such as 500M or 20G.')
  return Number(digits) * MB_BY_UNIT[unit.toUpperCase()]!
}
