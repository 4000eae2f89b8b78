import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { environment } from './command.ts'

const run = promisify(execFile)
const INSTALL_TIMEOUT_MS = 5 * 60_000
const TMUX_TIMEOUT_MS = 10_000
const WAIT_MS = 30_000
const POLL_MS = 50

/** Installs a real terminal that can be read as text: only these tests need it. */
export async function ensureTmux(): Promise<void> {
  const isThere = await run('tmux', ['-V']).then(
    () => true,
    () => false,
  )
  if (!isThere) await run('apt-get', ['install', '-y', '-qq', 'tmux'], { timeout: INSTALL_TIMEOUT_MS })
}

export interface Terminal {
  /** The lines on the screen, without trailing empty ones. */
  screen(): Promise<string>
  /** Types text as it is. */
  type(text: string): Promise<void>
  /** Presses keys in tmux's names: `Enter`, `C-c`, `Up`. */
  press(...keys: string[]): Promise<void>
  resize(cols: number, rows: number): Promise<void>
  /** Waits for a pattern on the screen. @throws with the screen when it does not appear within 30 s */
  waitFor(pattern: RegExp): Promise<string>
  close(): Promise<void>
}

/** A shell in a terminal of its own, with the variables of a user. */
export async function openTerminal(
  { cols = 80, rows = 24 } = {},
  env: Record<string, string | undefined> = {},
): Promise<Terminal> {
  const socket = `e2b-${randomUUID().slice(0, 8)}`
  const tmux = async (...args: string[]): Promise<string> =>
    (await run('tmux', ['-L', socket, ...args], { timeout: TMUX_TIMEOUT_MS, env: environment(env) })).stdout
  const size = ['-x', String(cols), '-y', String(rows)]
  await tmux('-f', '/dev/null', 'new-session', '-d', ...size, 'PS1="local> " bash --norc --noprofile -i')
  const screen = async (): Promise<string> => (await tmux('capture-pane', '-p')).trimEnd()
  return {
    screen,
    type: async (text) => void (await tmux('send-keys', '-l', text)),
    press: async (...keys) => void (await tmux('send-keys', ...keys)),
    resize: async (newCols, newRows) =>
      void (await tmux('resize-window', '-x', String(newCols), '-y', String(newRows))),
    async waitFor(pattern) {
      const deadline = Date.now() + WAIT_MS
      for (;;) {
        const text = await screen()
        if (pattern.test(text)) return text
        if (Date.now() > deadline) throw new Error(`no ${pattern} on the screen:\n${text}`)
        await sleep(POLL_MS)
      }
    },
    close: async () => void (await tmux('kill-server').catch(() => {})),
  }
}
