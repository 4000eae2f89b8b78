import { spawn } from 'node:child_process'

const OPENERS: Partial<Record<NodeJS.Platform, [string, string[]]>> = {
  darwin: ['open', []],
  win32: ['cmd', ['/c', 'start', '""']],
}

/** Opens `url` in `$BROWSER` or the default browser. Does nothing without a browser, as the URL is also printed. */
export function openBrowser(url: string): void {
  const [program, args] = process.env.BROWSER
    ? [process.env.BROWSER, []]
    : (OPENERS[process.platform] ?? ['xdg-open', []])
  // `cmd` would take & for the end of the command.
  const target = process.platform === 'win32' ? url.replaceAll('&', '^&') : url
  spawn(program, [...args, target], { stdio: 'ignore', detached: true })
    .on('error', () => {})
    .unref()
}
