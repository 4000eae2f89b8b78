import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { failuresOf, type Step } from './steps.ts'

const DOCUMENT = join(import.meta.dirname, '../../docs/compatibility.md')

/** Puts a text between the markers of its part of docs/compatibility.md. */
export function record(part: 'clients' | 'programs', text: string): void {
  const [begin, end] = [`<!-- ${part} by npm run matrix -->`, `<!-- end of ${part} -->`]
  const document = readFileSync(DOCUMENT, 'utf8')
  if (!document.includes(begin) || !document.includes(end))
    throw new Error(`${DOCUMENT} lacks '${begin}' or '${end}'`)
  const before = document.slice(0, document.indexOf(begin) + begin.length)
  const after = document.slice(document.indexOf(end))
  const today = new Date().toISOString().slice(0, 10)
  writeFileSync(DOCUMENT, `${before}\n\nMade on ${today}, ${text}\n\n${after}`)
}

/** Messages of failed steps, to be printed below a table. */
export function failureList(runs: { who: string; steps: Step[] | undefined }[]): string[] {
  const lines = runs.flatMap(({ who, steps }) =>
    failuresOf(steps).map(
      ({ step, error }) =>
        `- ${who}, ${step}: \`${error?.replaceAll('`', "'").replaceAll(/\s+/g, ' ').slice(0, 300)}\``,
    ),
  )
  return lines.length > 0 ? ['', 'What failing steps said:', '', ...lines] : []
}
