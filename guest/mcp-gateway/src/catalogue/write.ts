// `npm run catalogue -w guest/mcp-gateway` writes `catalogue/catalogue.json` from `catalogue/sources.md`
// and `catalogue/release-months.json` (the month of each PyPI package's release, from the list of PyPI).
import { readFileSync, writeFileSync } from 'node:fs'
import { correct, corrections, dated } from './corrections.ts'
import { parseTable } from './parse-table.ts'

const folder = new URL('../../catalogue/', import.meta.url)
const table = parseTable(readFileSync(new URL('sources.md', folder), 'utf8'))
const unknown = Object.keys(corrections).find((key) => !table[key])
if (unknown) throw new Error(`corrections.ts names '${unknown}', which the table does not have`)
const months = JSON.parse(readFileSync(new URL('release-months.json', folder), 'utf8')) as Record<
  string,
  string
>
const catalogue = Object.fromEntries(
  Object.entries(table).map(([key, entry]) => [key, dated(correct(key, entry), months)]),
)
// one line an entry, so that a difference shows what changed
const lines = Object.entries(catalogue).map(
  ([key, entry]) => `  ${JSON.stringify(key)}: ${JSON.stringify(entry)}`,
)
writeFileSync(new URL('catalogue.json', folder), `{\n${lines.join(',\n')}\n}\n`)
