import { InvalidArgumentError } from 'commander'

// `Date` alone would also accept '1' or 'March 7', in the local time zone.
const ISO_8601 = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/

export function parseDate(text: string): Date {
  const date = ISO_8601.test(text) ? new Date(text) : new Date(Number.NaN)
  if (Number.isNaN(date.getTime())) {
    throw new InvalidArgumentError('Invalid date, expected an ISO 8601 timestamp, eg. 2025-01-01T00:00:00Z')
  }
  return date
}
