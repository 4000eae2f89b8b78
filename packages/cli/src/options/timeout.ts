import { Option } from 'commander'
import { parseWholeNumber } from './whole-number.ts'

/** `--timeout 600`, in seconds. A terminal could not keep a sandbox alive with less than 30. */
export const timeoutOption = (): Option =>
  new Option(
    '--timeout <seconds>',
    'sandbox timeout in seconds, at least 30 (default: the server decides, 300)',
  ).argParser((text) => parseWholeNumber(text, { least: 30, unit: 'seconds' }))
