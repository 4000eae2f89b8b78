import { InvalidArgumentError, Option } from 'commander'

/** Languages that templates can be written in, with their display names. */
export const LANGUAGES = {
  typescript: 'TypeScript',
  'python-sync': 'Python (sync)',
  'python-async': 'Python (async)',
} as const
export type Language = keyof typeof LANGUAGES

export const languageOption = (): Option =>
  new Option('-l, --language <language>', `target language: ${Object.keys(LANGUAGES).join(', ')}`).argParser(
    parseLanguage,
  )

export function parseLanguage(text: string): Language {
  if (!Object.hasOwn(LANGUAGES, text)) {
    throw new InvalidArgumentError(`Invalid language. Must be one of: ${Object.keys(LANGUAGES).join(', ')}`)
  }
  return text as Language
}
