import { InvalidArgumentError, Option } from 'commander'

/** `--metadata key=value`, as often as needed. Values may contain commas. */
export const labelsOption = (purpose: string): Option =>
  new Option('-m, --metadata <key=value>', `${purpose} (repeatable)`).argParser(parseLabel)

export function parseLabel(text: string, previous: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError(`'${text}' is not key=value.`)
  return { ...previous, [text.slice(0, at)]: text.slice(at + 1) }
}
