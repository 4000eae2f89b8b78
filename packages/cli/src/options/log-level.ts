import { InvalidArgumentError, Option } from 'commander'

/** Levels from the least to the most important. */
const LEVELS = ['DEBUG', 'INFO', 'WARN', 'ERROR'] as const
export type LogLevel = (typeof LEVELS)[number]

export const logLevelOption = (): Option =>
  new Option('--level <level>', 'show this level and those above it: DEBUG, INFO, WARN, ERROR')
    .default('INFO')
    .argParser(parseLogLevel)

export function parseLogLevel(text: string): LogLevel {
  const level = LEVELS.find((known) => known === text.toUpperCase())
  if (!level) throw new InvalidArgumentError(`'${text}' is not a level. Use DEBUG, INFO, WARN or ERROR.`)
  return level
}

/** Whether a line is shown. Lines of unknown level are always shown, as programs may spell levels differently. */
export function isAtLeast(level: string, least: LogLevel): boolean {
  const rank = LEVELS.indexOf(level.toUpperCase() as LogLevel)
  return rank === -1 || rank >= LEVELS.indexOf(least)
}
