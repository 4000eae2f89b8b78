import { expect, test } from 'vitest'
import { type CommandHandle, describeClients, rejection, type Sandbox, sharedSandbox } from './official.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Collects what a terminal shows and waits for a text in it. */
class Screen {
  text = ''
  #decoder = new TextDecoder()
  #waiting: (() => void)[] = []

  readonly onData = (data: Uint8Array): void => {
    this.text += this.#decoder.decode(data, { stream: true })
    for (const look of this.#waiting) look()
  }

  shows(pattern: RegExp, timeoutMs = 15_000): Promise<RegExpMatchArray> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`${pattern} did not appear, but: ${JSON.stringify(this.text.slice(-500))}`))
      }, timeoutMs)
      const look = () => {
        const match = this.text.match(pattern)
        if (!match) return
        clearTimeout(timer)
        resolve(match)
      }
      this.#waiting.push(look)
      look()
    })
  }
}

async function openTerminal(sandbox: Sandbox, opts = {}): Promise<{ handle: CommandHandle; screen: Screen }> {
  const screen = new Screen()
  const handle = await sandbox.pty.create({
    cols: 80,
    rows: 24,
    onData: screen.onData,
    timeoutMs: 60_000,
    ...opts,
  })
  return { handle, screen }
}

describeClients('a PTY', (client) => {
  const sandbox = sharedSandbox(client)

  test('is an interactive login shell of the given size', async () => {
    const { handle, screen } = await openTerminal(sandbox())
    await sandbox().pty.sendInput(
      handle.pid,
      encode('echo "size=$(stty size) term=$TERM lang=$LANG tty=$(tty)"; exit\n'),
    )
    await screen.shows(/size=24 80 term=xterm-256color lang=C\.UTF-8 tty=\/dev\/pts\/\d+/)
    expect((await handle.wait()).exitCode).toBe(0)
  })

  test('ends with the exit code of its shell', async () => {
    const { handle } = await openTerminal(sandbox())
    await sandbox().pty.sendInput(handle.pid, encode('exit 5\n'))
    expect(await rejection(handle.wait())).toMatchObject({ exitCode: 5 })
  })

  test('has the given user, directory and environment', async () => {
    const { handle, screen } = await openTerminal(sandbox(), {
      user: 'root',
      cwd: '/var',
      envs: { OWN: 'env var' },
    })
    await sandbox().pty.sendInput(handle.pid, encode('echo "<$(id -un)|$PWD|$OWN>"; exit\n'))
    await screen.shows(/<root\|\/var\|env var>/)
    await handle.wait()
  })

  test('notifies the program in the terminal when the size changes', async () => {
    const { handle, screen } = await openTerminal(sandbox())
    await sandbox().pty.sendInput(
      handle.pid,
      encode(`trap 'echo "resized=$(stty size)"' WINCH; echo rea""dy\n`),
    )
    // with its prompt: a signal while readline sets up its own handler is lost
    await screen.shows(/ready[\s\S]*\$ /)
    await sandbox().pty.resize(handle.pid, { cols: 133, rows: 42 })
    await sandbox().pty.sendInput(handle.pid, encode('\n'))
    await screen.shows(/resized=42 133/)
    await handle.kill()
  })

  test('forwards control characters', async () => {
    const { handle, screen } = await openTerminal(sandbox())
    // the receiver of the signal announces itself: the shell may not have moved the next command to the foreground yet
    await sandbox().pty.sendInput(handle.pid, encode(`bash -c 'echo rea""dy; exec sleep 300'\n`))
    await screen.shows(/ready/)
    await sandbox().pty.sendInput(handle.pid, encode('\x03'))
    await sandbox().pty.sendInput(handle.pid, encode('echo "status=$?"; exit 0\n'))
    await screen.shows(/status=130/)
    await handle.wait()
  })

  test('is killed by its pid', async () => {
    const { handle } = await openTerminal(sandbox())
    expect(await sandbox().pty.kill(handle.pid)).toBe(true)
    expect(await rejection(handle.wait())).toMatchObject({ exitCode: -1, error: 'signal: killed' })
    expect(await sandbox().pty.kill(handle.pid)).toBe(false)
  })

  test('keeps running after a disconnect and keeps its state for a reconnect', async () => {
    const { handle, screen } = await openTerminal(sandbox())
    await sandbox().pty.sendInput(handle.pid, encode('KEPT=value-of-before; echo rea""dy\n'))
    await screen.shows(/ready/)
    await handle.disconnect()
    const second = new Screen()
    const again = await sandbox().pty.connect(handle.pid, { onData: second.onData })
    expect(again.pid).toBe(handle.pid)
    await sandbox().pty.sendInput(handle.pid, encode('echo "kept=$KEPT"; exit 0\n'))
    await second.shows(/kept=value-of-before/)
    expect((await again.wait()).exitCode).toBe(0)
    expect(screen.text).not.toContain('kept=value-of-before')
  })

  test('delivers a flood of output completely and in order', async () => {
    const { handle, screen } = await openTerminal(sandbox())
    await sandbox().pty.sendInput(
      handle.pid,
      encode('stty -echo -onlcr; echo go""; seq 1 100000; echo do""ne; exit 0\n'),
    )
    await screen.shows(/done/, 30_000)
    await handle.wait()
    const numbers = screen.text
      .slice(screen.text.indexOf('go\n') + 3, screen.text.lastIndexOf('done'))
      .trim()
      .split('\n')
    expect(numbers.length).toBe(100_000)
    expect(numbers.every((line, i) => line === String(i + 1))).toBe(true)
  }, 60_000)

  test('is listed among the commands', async () => {
    const { handle } = await openTerminal(sandbox())
    const listed = (await sandbox().commands.list()).find((process) => process.pid === handle.pid)
    expect(listed).toMatchObject({ cmd: '/bin/bash', args: ['-i', '-l'] })
    await handle.kill()
  })
})
