import type { VolumeRange } from '@sandlot/protocol/node'

/**
 * Reads a `Range` header (RFC 9110, section 14.2).
 * @returns undefined for the whole file, also for headers that this server does not support; `outside` for a range that
 * the file does not have
 */
export function rangeIn(header: string | undefined, sizeBytes: number): VolumeRange | 'outside' | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '')
  if (!match) return undefined
  const [, first = '', last = ''] = match
  if (first === '' && last === '') return undefined
  if (first === '') {
    const length = Math.min(Number(last), sizeBytes)
    return length === 0 ? 'outside' : { start: sizeBytes - length, end: sizeBytes - 1 }
  }
  const start = Number(first)
  const end = last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1)
  if (last !== '' && Number(last) < start) return undefined
  return start >= sizeBytes ? 'outside' : { start, end }
}
