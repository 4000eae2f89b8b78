import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { buildCli, detached, ENTRY, e2b } from './command.ts'
import { ensureTmux, openTerminal, type Terminal } from './tmux.ts'
import { startUnsteadyProxy } from './unsteady-proxy.ts'

const PROMPT = /user@\S+:~\$ ?$/
const E2B = `${process.execPath} ${ENTRY}`

beforeAll(async () => {
  await Promise.all([buildCli(), ensureTmux()])
})

let terminal: Terminal
beforeEach(async () => {
  terminal = await openTerminal()
})
afterEach(() => terminal.close())

/** Types a line into the shell that has the terminal. */
async function enter(line: string, on = terminal): Promise<void> {
  await on.type(line)
  await on.press('Enter')
}

/** Checks that the session left nothing in the local terminal: it echoes, and stty is as before. */
async function expectRestored(before: string, on = terminal): Promise<void> {
  await on.waitFor(/local> $|local>$/)
  await on.press('C-l')
  await enter('echo "settings: $(stty -g)"', on)
  expect(await settingsOf(on)).toBe(before)
}

async function settingsOf(on: Terminal): Promise<string> {
  const screen = (await on.waitFor(/^settings: [\s\S]+local>/m)).replaceAll('\n', '')
  return /settings: ([0-9a-f:]+)/.exec(screen.slice(screen.lastIndexOf('settings: ')))![1]!
}

async function settings(on = terminal): Promise<string> {
  await on.waitFor(/local>/)
  await enter('echo "settings: $(stty -g)"', on)
  const found = await settingsOf(on)
  await on.press('C-l')
  return found
}

const idOnScreen = (screen: string): string => /\bi[a-z0-9]{20}\b/.exec(screen)![0]
const isListed = async (id: string): Promise<boolean> => (await e2b(['sandbox', 'list'])).stdout.includes(id)

describe('e2b sandbox create', () => {
  it('opens a terminal of the sandbox with size, UTF-8 and exit code, and ends the sandbox when it closes', async () => {
    const before = await settings()
    await enter(`${E2B} sandbox create; echo "code: $?"`)
    const id = idOnScreen(await terminal.waitFor(PROMPT))
    expect(await isListed(id)).toBe(true)
    await enter('clear; tput cols; tput lines; echo "grüße 世界 🚀"; tty')
    const screen = await terminal.waitFor(/\/dev\/pts\/\d+/)
    expect(screen.split('\n').slice(0, 4)).toEqual([
      '80',
      '24',
      'grüße 世界 🚀',
      expect.stringMatching(/^\/dev\/pts/),
    ])
    await enter('exit 7')
    await terminal.waitFor(/code: 7/)
    await expectRestored(before)
    expect(await isListed(id)).toBe(false)
  })

  it('passes Ctrl-C to the program inside, which ends, while the shell stays', async () => {
    await enter(`${E2B} sandbox create`)
    await terminal.waitFor(PROMPT)
    await enter('clear; echo begun; sleep 1000')
    await terminal.waitFor(/^begun/)
    await terminal.press('C-c')
    await terminal.waitFor(/^begun\n+user@\S+:~\$ ?$/)
    await enter('echo still-$((40 + 2))')
    await terminal.waitFor(/still-42/)
    await enter('exit 0')
    await terminal.waitFor(/local>/)
  })

  it('follows the size of the window', async () => {
    await enter(`${E2B} sandbox create`)
    await terminal.waitFor(PROMPT)
    await terminal.resize(132, 43)
    await enter('clear; until [ "$(stty size)" = "43 132" ]; do sleep 0.1; done; echo size-$(stty size)')
    await terminal.waitFor(/size-43 132/)
    await enter('exit')
    await terminal.waitFor(/local>/)
  })

  it('restores the screen and the modes when the sandbox is killed under a full-screen program', async () => {
    const before = await settings()
    await enter(`echo marker; ${E2B} sandbox create; echo "code: $?"`)
    const id = idOnScreen(await terminal.waitFor(PROMPT))
    // An editor that dies leaves the alternate screen, a hidden cursor, mouse reports and bracketed paste.
    await enter(`printf '\\033[?1049h\\033[?25l\\033[?1000h\\033[2J\\033[Hfull screen'; sleep 1000`)
    await terminal.waitFor(/^full screen/)
    await e2b(['sandbox', 'kill', id])
    const screen = await terminal.waitFor(/code: 1/)
    expect(screen).toContain('marker')
    expect(screen).not.toContain('full screen\n')
    expect(screen).toMatch(/is not running any more/)
    await expectRestored(before)
  })

  it.each(['TERM', 'HUP'])('restores the terminal and ends the sandbox on SIG%s', async (signal) => {
    const before = await settings()
    await enter(`${E2B} sandbox create & echo "pid: $!"; fg >/dev/null; echo "code: $?"`)
    const id = idOnScreen(await terminal.waitFor(PROMPT))
    const other = await openTerminal()
    try {
      await enter(`kill -${signal} $(pgrep -f "^${process.execPath} ${ENTRY} sandbox create")`, other)
      await terminal.waitFor(new RegExp(`code: ${signal === 'TERM' ? 143 : 129}`))
      await expectRestored(before)
      await expect.poll(() => isListed(id), { timeout: 20_000 }).toBe(false)
    } finally {
      await other.close()
    }
  })

  it('keeps the sandbox alive beyond its own timeout', { timeout: 120_000 }, async () => {
    await enter(`${E2B} sandbox create`)
    const id = idOnScreen(await terminal.waitFor(PROMPT))
    const started = Date.now()
    // Without the terminal it would end 30 s after its start.
    await expect
      .poll(async () => (Date.now() - started > 40_000 ? await isListed(id) : undefined), {
        timeout: 60_000,
        interval: 2000,
      })
      .toBe(true)
    await enter('exit')
    await terminal.waitFor(/local>/)
  })

  it('leaves the sandbox to its timeout when one was given', async () => {
    await enter(`${E2B} sandbox create --timeout 60`)
    const id = idOnScreen(await terminal.waitFor(PROMPT))
    await enter('exit')
    await terminal.waitFor(/keeps running: e2b sandbox connect/)
    expect(await isListed(id)).toBe(true)
    await e2b(['sandbox', 'kill', id])
  })
})

describe('e2b sandbox connect', () => {
  let id: string
  let remove: () => Promise<void>
  beforeAll(async () => {
    ;({ id, remove } = await detached(['--timeout', '600']))
  })
  afterAll(() => remove())

  it('opens a shell as a user, in a directory, with variables, and leaves the sandbox running', async () => {
    await enter(`${E2B} sandbox connect -u root -c /tmp -e GREETING=hello ${id}`)
    await terminal.waitFor(/root@\S+:\/tmp# ?$/)
    await enter('echo $GREETING-$(whoami)')
    await terminal.waitFor(/hello-root/)
    await enter('exit')
    await terminal.waitFor(/Closing terminal connection[\s\S]*local>/)
    expect(await isListed(id)).toBe(true)
  })

  it('resumes the session after the network was cut', async () => {
    const proxy = await startUnsteadyProxy(inject('server').port)
    try {
      await enter(
        `export E2B_API_URL=${proxy.url} E2B_SANDBOX_URL=${proxy.url.replace('//', '//sandbox.')}; ${E2B} sandbox connect ${id}`,
      )
      await terminal.waitFor(PROMPT)
      await enter('clear; mine=before-the-cut; echo set')
      await terminal.waitFor(/^set/)
      await proxy.cut()
      await terminal.waitFor(/Connection lost, reconnecting/)
      await proxy.mend()
      await terminal.waitFor(/Reconnected\./)
      await enter('echo it-is-$mine')
      await terminal.waitFor(/it-is-before-the-cut/)
      await enter('exit')
      await terminal.waitFor(/Closing terminal connection/)
    } finally {
      await proxy.close()
    }
  })

  it('shows the progress of a copy only on a terminal', async () => {
    await enter(
      `head -c 30000000 /dev/zero > /tmp/e2b-zeros; ${E2B} sandbox cp /tmp/e2b-zeros ${id}:zeros 2>&1`,
    )
    const screen = await terminal.waitFor(/zeros → \S+:zeros/)
    expect(screen).toContain('Copied e2b-zeros (28.6 MiB)')
    await enter(
      `rm /tmp/e2b-zeros; ${E2B} sandbox cp ${id}:zeros /tmp/e2b-zeros 2> /tmp/e2b-notes; wc -c < /tmp/e2b-zeros; cat -v /tmp/e2b-notes; rm /tmp/e2b-zeros /tmp/e2b-notes`,
    )
    expect((await terminal.waitFor(/30000000\n[^\n]*:zeros/)).split('30000000\n')[1]).not.toContain('Copied')
  })

  it('runs piped lines without a terminal and forwards the exit code', async () => {
    const { code, stdout } = await e2b(['sandbox', 'connect', id], {
      input: 'echo piped-$((6 * 7)); exit 4\n',
    })
    expect(stdout).toContain('piped-42')
    expect(code).toBe(4)
  })

  it('ends the shell at the end of piped input', async () => {
    const { code, stdout } = await e2b(['sandbox', 'connect', id], { input: 'echo piped-$((6 * 7))\n' })
    expect(stdout).toContain('piped-42')
    expect(code).toBe(0)
  })
})
