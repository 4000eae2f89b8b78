import { InvalidArgumentError, Option } from 'commander'

const FORMATS = ['pretty', 'json'] as const
export type Format = (typeof FORMATS)[number]

/** `-f, --format json|pretty`: json for programs, pretty (the default) for people. */
export const formatOption = (): Option =>
  new Option('-f, --format <format>', 'output format: json, pretty').default('pretty').argParser(parseFormat)

/** `--format` only, for commands where `-f` means follow. */
export const longFormatOption = (): Option =>
  new Option('--format <format>', 'output format: json, pretty').default('pretty').argParser(parseFormat)

export function parseFormat(text: string): Format {
  const format = FORMATS.find((known) => known === text)
  if (!format) throw new InvalidArgumentError(`Unsupported output format: ${text}. Use json or pretty.`)
  return format
}
