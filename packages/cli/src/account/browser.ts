import { spawn } from 'node:child_process'

const OPENERS: Partial<Record<NodeJS.Platform, [string, string[]]>> = {
  darwin: ['open', []],
  win32: ['cmd', ['/c', 'start', '""']],
}

/** Opens `url` for the user, in `$BROWSER` where that is set; where there is no browser nothing happens, the URL is on the screen too. */
export function openBrowser(url: string): void {
  const [program, args] = process.env.BROWSER
    ? [process.env.BROWSER, []]
    : (OPENERS[process.platform] ?? ['xdg-open', []])
  // `cmd` would read & as the end of the command.
  const target = process.platform === 'win32' ? url.replaceAll('&', '^&') : url
  spawn(program, [...args, target], { stdio: 'ignore', detached: true })
    .on('error', () => {})
    .unref()
}
