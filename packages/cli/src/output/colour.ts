import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

/** Whether to use colours: only on a terminal, and never with NO_COLOR (https://no-color.org) or TERM=dumb. */
export function isColoured(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): boolean {
  if (env.NO_COLOR || env.TERM === 'dumb') return false
  if (env.FORCE_COLOR) return env.FORCE_COLOR !== '0'
  return stream.isTTY === true
}

/** Styles text for standard output, or returns plain text without colours. */
export const coloured = (style: Style, text: string): string =>
  isColoured(process.stdout) ? styleText(style, text, { validateStream: false }) : text
