import { InvalidArgumentError, Option } from 'commander'
import type { SandboxListOrder } from 'e2b'

export const orderOption = (): Option =>
  new Option('-o, --order <order>', 'sort by start time: asc or desc').default('desc').argParser(parseOrder)

export function parseOrder(text: string): SandboxListOrder {
  if (text !== 'asc' && text !== 'desc')
    throw new InvalidArgumentError("Invalid order, expected 'asc' or 'desc'")
  return text
}
