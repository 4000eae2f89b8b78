import { InvalidArgumentError, Option } from 'commander'

/** `-e KEY=VALUE`, as often as needed. */
export const envOption = (purpose: string): Option =>
  new Option('-e, --env <KEY=VALUE>', `set environment variable ${purpose} (repeatable)`)
    .default({}, 'none')
    .argParser(parseEnv)

export function parseEnv(text: string, previous: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=')
  const name = text.slice(0, at)
  if (at < 1 || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    throw new InvalidArgumentError(
      `'${text}' is not KEY=VALUE with a name of letters, digits and underscores.`,
    )
  }
  return { ...previous, [name]: text.slice(at + 1) }
}
