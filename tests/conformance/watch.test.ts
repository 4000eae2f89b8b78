import { expect, test } from 'vitest'
import { describeClients, ownSandboxes, rejection, sharedSandbox, signal } from './official.ts'

interface Seen {
  name: string
  type: string
  size?: number
}

/** Keeps the events of a watch and waits for one of them. */
class Events {
  readonly seen: Seen[] = []
  #waiting: (() => void)[] = []

  readonly onEvent = (event: { name: string; type: string; entry?: { size: number } }): void => {
    this.seen.push({ name: event.name, type: event.type, size: event.entry?.size })
    for (const look of this.#waiting) look()
  }

  has(type: string, name: string, timeoutMs = 10_000): Promise<Seen> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`no ${type} of ${name} among ${JSON.stringify(this.seen.slice(-20))}`))
      }, timeoutMs)
      const look = () => {
        const found = this.seen.find((event) => event.type === type && event.name === name)
        if (!found) return
        clearTimeout(timer)
        resolve(found)
      }
      this.#waiting.push(look)
      look()
    })
  }
}

describeClients('watching a directory', (client) => {
  const sandbox = sharedSandbox(client)
  const create = ownSandboxes(client)

  test('reports files that are created, written, changed, renamed and removed', async () => {
    await sandbox().files.makeDir('/tmp/watched')
    const events = new Events()
    const handle = await sandbox().files.watchDir('/tmp/watched', events.onEvent)
    await sandbox().files.write('/tmp/watched/ä file', 'content')
    await events.has('create', 'ä file')
    await events.has('write', 'ä file')
    // what clients of the real service count on
    expect(events.seen.map(({ type }) => type)).toEqual(['create', 'chmod', 'write'])
    events.seen.length = 0
    await sandbox().commands.run(`chmod 600 '/tmp/watched/ä file'`)
    await events.has('chmod', 'ä file')
    await sandbox().files.rename('/tmp/watched/ä file', '/tmp/watched/b')
    await events.has('rename', 'ä file')
    await events.has('create', 'b')
    await sandbox().files.remove('/tmp/watched/b')
    await events.has('remove', 'b')
    await handle.stop()
  })

  test('omits events of subdirectories unless it is recursive', async () => {
    await sandbox().files.makeDir('/tmp/flat/sub')
    const events = new Events()
    const handle = await sandbox().files.watchDir('/tmp/flat', events.onEvent)
    await sandbox().files.write('/tmp/flat/sub/inner', 'x')
    await sandbox().files.write('/tmp/flat/outer', 'x')
    await events.has('write', 'outer')
    expect(events.seen.filter((event) => event.name.includes('inner'))).toEqual([])
    await handle.stop()
  })

  test('recursively includes directories that are created later', async () => {
    await sandbox().files.makeDir('/tmp/deep/old')
    const events = new Events()
    const handle = await sandbox().files.watchDir('/tmp/deep', events.onEvent, { recursive: true })
    await sandbox().files.write('/tmp/deep/old/file', 'x')
    await events.has('write', 'old/file')
    expect(events.seen.map(({ type }) => type)).toEqual(['create', 'chmod', 'write'])
    await sandbox().files.makeDir('/tmp/deep/new')
    await events.has('create', 'new')
    await sandbox().files.makeDir('/tmp/deep/new/newer')
    await events.has('create', 'new/newer')
    await sandbox().files.write('/tmp/deep/new/newer/file', 'x')
    await events.has('create', 'new/newer/file')
    await handle.stop()
  })

  test('includes the entry on request', async () => {
    await sandbox().files.makeDir('/tmp/entries')
    const events = new Events()
    const handle = await sandbox().files.watchDir('/tmp/entries', events.onEvent, { includeEntry: true })
    await sandbox().files.write('/tmp/entries/file', 'four')
    await events.has('write', 'file')
    expect(events.seen.some((event) => event.name === 'file' && event.size !== undefined)).toBe(true)
    await handle.stop()
  })

  test('calls onExit without an error when it is stopped, and no events after', async () => {
    await sandbox().files.makeDir('/tmp/stopped')
    const events = new Events()
    const exit = signal<Error | undefined>()
    const handle = await sandbox().files.watchDir('/tmp/stopped', events.onEvent, { onExit: exit.resolve })
    await handle.stop()
    await exit.promise
    await sandbox().files.write('/tmp/stopped/file', 'x')
    expect(events.seen).toEqual([])
  })

  test('calls onExit with an error when its timeout expires', async () => {
    await sandbox().files.makeDir('/tmp/timed')
    const exit = signal<Error | undefined>()
    await sandbox().files.watchDir('/tmp/timed', () => {}, { timeoutMs: 700, onExit: exit.resolve })
    expect(await exit.promise).toBeInstanceOf(client.e2b.TimeoutError)
  })

  test('calls onExit with an error when the sandbox is killed', async () => {
    const own = await create()
    const exit = signal<Error | undefined>()
    await own.files.watchDir('/home/user', () => {}, { timeoutMs: 0, onExit: exit.resolve })
    await own.kill()
    expect(await exit.promise).toBeInstanceOf(client.e2b.TimeoutError)
  })

  test('is refused for a missing directory and for a file', async () => {
    const missing = await rejection(sandbox().files.watchDir('/tmp/no-such', () => {}))
    expect(missing).toBeInstanceOf(client.e2b.NotFoundError)
    const file = await rejection(sandbox().files.watchDir('/etc/passwd', () => {}))
    expect(file).toBeInstanceOf(client.e2b.InvalidArgumentError)
  })

  test('keeps up with a thousand files', async () => {
    await sandbox().files.makeDir('/tmp/burst')
    const events = new Events()
    const handle = await sandbox().files.watchDir('/tmp/burst', events.onEvent)
    await sandbox().commands.run('cd /tmp/burst && touch $(seq 1 1000) && touch last')
    await events.has('create', 'last', 20_000)
    const created = new Set(events.seen.filter((event) => event.type === 'create').map((event) => event.name))
    expect(created.size).toBe(1001)
    await handle.stop()
  }, 30_000)
})
