import type { Catalogue, CatalogueEntry, HowToRun } from './entry.ts'

/** Reads the table of `catalogue/sources.md`. Throws on a row that it does not understand. */
export function parseTable(markdown: string): Catalogue {
  const rows = markdown
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| key |'))
    .map((line) => line.slice(2, -2).split(/ \|(?: |$)/))
  return Object.fromEntries(rows.map((cells) => [cells[0]!.trim(), entryOf(cells)]))
}

function entryOf(cells: string[]): CatalogueEntry {
  if (cells.length !== 5)
    throw new Error(`a row has ${cells.length} cells instead of 5: ${cells.join(' | ')}`)
  const [, origin, source, options, packaged] = cells as [string, string, string, string, string]
  const remote = parseRemote(origin)
  const found = remote ?? parsePackage(packaged)
  return {
    ...(remote === undefined && { image: /^`([^`]+)`$/.exec(origin)![1]! }),
    ...(source.trim() !== '' && { source: source.trim() }),
    options: parseOptions(options),
    ...(found && { run: found }),
    ...(found && found.kind !== 'remote' && { isSameProject: packaged.startsWith('=') }),
  }
}

function parseRemote(origin: string): HowToRun | undefined {
  const match = /^remote (streamable-http|sse) `([^`]+)`(?: hdr `([^`:]+): ([^`]+)`)?$/.exec(origin)
  if (!match) return undefined
  const [, transport, url, header, value] = match
  return {
    kind: 'remote',
    transport: transport as 'streamable-http' | 'sse',
    url: url!,
    ...(header && { headers: { [header]: value! } }),
  }
}

function parsePackage(text: string): HowToRun | undefined {
  if (text === '–') return undefined
  const match = /^[=~] (npm|PyPI) `([^`]+)` (\S+)$/.exec(text)
  if (!match) throw new Error(`'${text}' is not a package`)
  return { kind: match[1] === 'npm' ? 'npm' : 'pypi', package: match[2]!, version: match[3]! }
}

/** `apiKey*→API_KEY, region→REGION; other: paths*; args …`: the arguments are those of the container, and are left out. */
function parseOptions(text: string): CatalogueEntry['options'] {
  const options: CatalogueEntry['options'] = {}
  if (text === '–') return options
  for (const part of text.replace(/(^|; )args `.*$/, '').split('; ')) {
    for (const option of part
      .replace(/^other: /, '')
      .split(', ')
      .filter(Boolean)) {
      const match = /^(\w+)(\*?)(?:→(\w+))?$/.exec(option)
      if (!match) throw new Error(`'${option}' is not an option`)
      options[match[1]!] = { ...(match[3] && { env: match[3] }), ...(match[2] && { required: true }) }
    }
  }
  return options
}
