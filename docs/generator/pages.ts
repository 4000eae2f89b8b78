import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { commandLinePage } from './command-line-page.ts'
import { configurationPage } from './configuration-page.ts'
import { errorsPage } from './errors-page.ts'

/** The command that writes the pages again, as tests and the pages themselves name it. */
export const REGENERATE = 'npm run docs'

/** A page of the documentation that is made from the program. */
export interface GeneratedPage {
  /** Absolute path of the committed file. */
  path: string
  text: string
}

const pathOf = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url))

/** Makes every generated page from the sources as they are now, without writing any. */
export async function generatedPages(): Promise<GeneratedPage[]> {
  return [
    { path: pathOf('cli.md'), text: await commandLinePage() },
    { path: pathOf('configuration.md'), text: configurationPage() },
    { path: pathOf('errors.md'), text: errorsPage() },
  ]
}

/** Writes the pages that differ from their committed files. @returns paths of those files */
export async function writePages(): Promise<string[]> {
  const outdated = (await generatedPages()).filter(({ path, text }) => readCommitted(path) !== text)
  for (const { path, text } of outdated) writeFileSync(path, text)
  return outdated.map(({ path }) => path)
}

/** Reads the committed text of a page; empty while there is none. */
export function readCommitted(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}
