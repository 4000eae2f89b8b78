import { InvalidArgumentError, Option } from 'commander'

/** `-m key=value[,key=value]`: selects sandboxes with all of these pairs. */
export const metadataOption = (when = ''): Option =>
  new Option('-m, --metadata <metadata>', `${when}filter by metadata, eg. key1=value1,key2=value2`).argParser(
    parseMetadata,
  )

export function parseMetadata(text: string, previous: Record<string, string> = {}): Record<string, string> {
  const pairs = text.split(',').map((pair) => {
    const at = pair.indexOf('=')
    if (at < 1) throw new InvalidArgumentError(`'${pair}' is not key=value.`)
    return [pair.slice(0, at).trim(), pair.slice(at + 1).trim()]
  })
  return { ...previous, ...Object.fromEntries(pairs) }
}
