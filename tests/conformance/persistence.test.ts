import { setTimeout as delay } from 'node:timers/promises'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import {
  type CommandHandle,
  describeClients,
  describeEachClient,
  domain,
  eachNewClient,
  fetchWithin,
  ownSandboxes,
  rejection,
  runId,
  type Sandbox,
  signal,
} from './official.ts'
import { bootIdOf, cool, post } from './paused.ts'

const UNKNOWN = 'i0123456789abcdefghij'

/** A program that counts in memory, and answers with a secret that exists only there. */
const COUNTER = `
import http.server, secrets
secret, count = secrets.token_hex(8), 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global count
        count += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{secret} {count}".encode())
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
`

/** Writes the names of files that appear in /tmp/watched to /tmp/events; inotify without a library. */
const WATCHER = `
import ctypes, os, struct
libc = ctypes.CDLL("libc.so.6")
fd = libc.inotify_init()
libc.inotify_add_watch(fd, b"/tmp/watched", 0x180)
open("/tmp/watching", "w").close()
while True:
    data = os.read(fd, 4096)
    while data:
        length = struct.unpack_from("iIII", data)[3]
        with open("/tmp/events", "ab") as events: events.write(data[16:16 + length].rstrip(b"\\0") + b"\\n")
        data = data[16 + length:]
`

const numbersOf = async (url: string) => {
  const [secret, count] = (await (await fetchWithin(url)).text()).split(' ')
  return { secret, count: Number(count) }
}

describeEachClient('a sandbox that is paused and resumed', (client) => {
  const { Sandbox } = client.e2b
  const create = ownSandboxes(client)

  describe.each(['soon, from memory', 'later, from disk'])('%s', (when) => {
    let own: Sandbox
    let resumed: Sandbox
    let before: { bootId: string; numbers: { secret?: string; count: number }; token: string }
    let shell: CommandHandle
    let reader: CommandHandle
    let interrupted: Error
    const url = () => `https://${resumed.getHost(8000)}`

    beforeAll(async () => {
      own = await create({ envs: { GREETING: 'hallo ☃' }, metadata: { runId, when } })
      const background = { background: true, timeoutMs: 0 } as const
      await own.files.write('/tmp/counter.py', COUNTER)
      await own.files.write('/tmp/watcher.py', WATCHER)
      await own.files.makeDir('/tmp/watched')
      await own.commands.run('python3 /tmp/counter.py', background)
      await own.commands.run('python3 /tmp/watcher.py', background)
      reader = await own.commands.run('while read line; do echo "got $line"; done', {
        ...background,
        stdin: true,
      })
      const ready = signal<void>()
      shell = await own.pty.create({ cols: 80, rows: 24, timeoutMs: 0, onData: () => ready.resolve() })
      await ready.promise
      await own.pty.sendInput(shell.pid, new TextEncoder().encode('export KEPT=in-the-shell; cd /var\n'))
      await own.commands.run(
        'until [ -e /tmp/watching ] && curl -sf localhost:8000 >/dev/null; do sleep 0.1; done',
      )
      before = {
        bootId: await bootIdOf(own),
        numbers: await numbersOf(`https://${own.getHost(8000)}`),
        token: String(own['envdAccessToken']),
      }
      const failed = rejection(reader.wait())
      rejection(shell.wait()).catch(() => {})
      expect(await own.pause()).toBe(true)
      interrupted = await failed
      if (when === 'later, from disk') await cool(own.sandboxId)
      await delay(2_000)
      resumed = await Sandbox.connect(own.sandboxId, { timeoutMs: 300_000 })
    }, 120_000)

    test('has the same id, token, environment and metadata', async () => {
      expect(resumed.sandboxId).toBe(own.sandboxId)
      expect(String(resumed['envdAccessToken'])).toBe(before.token)
      expect((await resumed.commands.run('echo "$GREETING"')).stdout).toBe('hallo ☃\n')
      expect(await resumed.getInfo()).toMatchObject({ state: 'running', metadata: { runId, when } })
    })

    test('was not booted again, and its clock is right', async () => {
      expect(await bootIdOf(resumed)).toBe(before.bootId)
      const { stdout } = await resumed.commands.run('date +%s%3N')
      expect(Math.abs(Number(stdout) - Date.now())).toBeLessThan(1_500)
    })

    test('continues with its processes and their memory, on the same ports', async () => {
      const { secret, count } = await numbersOf(url())
      expect(secret).toBe(before.numbers.secret)
      expect(count).toBe(before.numbers.count + 1)
    })

    test('ended followed commands with a typed error that says it was paused', () => {
      expect(interrupted).toBeInstanceOf(client.e2b.SandboxError)
      expect(interrupted).toBeInstanceOf(client.e2b.TimeoutError)
    })

    test('has its commands: they are listed, connected to by pid and take input', async () => {
      expect((await resumed.commands.list()).map(({ pid }) => pid)).toContain(reader.pid)
      const line = signal<string>()
      const again = await resumed.commands.connect(reader.pid, { onStdout: line.resolve, timeoutMs: 0 })
      await resumed.commands.sendStdin(reader.pid, 'more\n')
      expect(await line.promise).toBe('got more\n')
      expect(await again.kill()).toBe(true)
    })

    test('has its terminals', async () => {
      let text = ''
      const seen = signal<void>()
      const again = await resumed.pty.connect(shell.pid, {
        timeoutMs: 0,
        onData(data) {
          text += new TextDecoder().decode(data)
          if (text.includes('<in-the-shell /var>')) seen.resolve()
        },
      })
      await resumed.pty.sendInput(shell.pid, new TextEncoder().encode('echo "<$KEPT $PWD>"\n'))
      await seen.promise
      expect(await again.kill()).toBe(true)
    })

    test('has its inotify watches', async () => {
      const name = `file-${Math.random()}`
      await resumed.files.write(`/tmp/watched/${name}`, '')
      await vi.waitFor(async () => expect(await resumed.files.read('/tmp/events')).toContain(name), {
        timeout: 10_000,
        interval: 200,
      })
    })

    test('can be paused and resumed again', async () => {
      const { count } = await numbersOf(url())
      for (let i = 0; i < 3; i++) {
        expect(await resumed.pause()).toBe(true)
        await resumed.connect()
      }
      expect((await numbersOf(url())).count).toBe(count + 1)
    })
  })

  test('has the state paused, also in lists, and is paused only once', async () => {
    const list = `paused-${runId}-${Math.random()}`
    const own = await create({ metadata: { list } })
    const idsIn = async (state: 'running' | 'paused') =>
      (await Sandbox.list({ query: { metadata: { list }, state: [state] } }).nextItems()).map(
        (info) => info.sandboxId,
      )
    expect(await Sandbox.pause(own.sandboxId)).toBe(true)
    expect(await own.pause()).toBe(false)
    expect((await own.getInfo()).state).toBe('paused')
    expect([await idsIn('running'), await idsIn('paused')]).toEqual([[], [own.sandboxId]])
    expect(await own.isRunning()).toBe(false)
    await own.connect()
    expect([await idsIn('running'), await idsIn('paused')]).toEqual([[own.sandboxId], []])
  })

  test('gets its timeout from the connect that resumes it', async () => {
    const own = await create({ timeoutMs: 20_000 })
    await own.pause()
    await Sandbox.connect(own.sandboxId, { timeoutMs: 500_000 })
    const { endAt } = await own.getInfo()
    expect(Math.abs(endAt.getTime() - Date.now() - 500_000)).toBeLessThan(5_000)
  })

  test('can be killed while it is paused, and is not found afterwards', async () => {
    const own = await create()
    await own.pause()
    expect(await own.kill()).toBe(true)
    expect(await own.kill()).toBe(false)
    expect(await rejection(Sandbox.connect(own.sandboxId))).toBeInstanceOf(client.e2b.SandboxNotFoundError)
    expect(await rejection(own.pause())).toBeInstanceOf(client.e2b.NotFoundError)
    expect(await rejection(Sandbox.pause(UNKNOWN))).toBeInstanceOf(client.e2b.NotFoundError)
  })

  test('is resumed once by many concurrent connects', async () => {
    const own = await create()
    await own.files.write('/tmp/kept', 'here')
    await own.pause()
    const all = await Promise.all(Array.from({ length: 5 }, () => Sandbox.connect(own.sandboxId)))
    expect(await Promise.all(all.map((sandbox) => sandbox.files.read('/tmp/kept')))).toEqual(
      Array(5).fill('here'),
    )
  })

  test('answers the old route for resuming: 201, 409 while it runs, 404', async () => {
    const own = await create()
    const resume = async (id: string) => {
      const response = await post(`/sandboxes/${id}/resume`, { timeout: 60 })
      return [response.status, ((await response.json()) as { code?: number; sandboxID?: string }).sandboxID]
    }
    expect(await resume(own.sandboxId)).toEqual([409, undefined])
    await own.pause()
    expect(await resume(own.sandboxId)).toEqual([201, own.sandboxId])
    expect(await resume(UNKNOWN)).toEqual([404, undefined])
  })
})

describeEachClient('a pause of the file system alone', (client) => {
  const { Sandbox } = client.e2b
  const create = ownSandboxes(client)

  test('keeps files, id, token and environment; everything else boots again', async () => {
    const own = await create({ envs: { GREETING: 'hallo' } })
    const bootId = await bootIdOf(own)
    await own.files.write('/home/user/kept', 'here')
    await own.files.write('/tmp/kept', 'here too')
    await own.commands.run('sudo touch /etc/kept; sudo rm /etc/debian_version; sync')
    await own.commands.run('sleep 1000', { background: true, timeoutMs: 0 })
    expect(await own.pause({ keepMemory: false })).toBe(true)
    expect((await own.getInfo()).state).toBe('paused')
    const resumed = await Sandbox.connect(own.sandboxId)
    expect(await bootIdOf(resumed)).not.toBe(bootId)
    expect(String(resumed['envdAccessToken'])).toBe(String(own['envdAccessToken']))
    expect(await resumed.files.read('/home/user/kept')).toBe('here')
    expect(await resumed.files.read('/tmp/kept')).toBe('here too')
    const { stdout } = await resumed.commands.run(
      'test -e /etc/kept && ! test -e /etc/debian_version && ! pgrep -x sleep >/dev/null && echo "$GREETING"',
    )
    expect(stdout).toBe('hallo\n')
  })

  test('can be followed by a pause with memory, and the other way round', async () => {
    const own = await create()
    await own.pause({ keepMemory: false })
    await own.connect()
    const bootId = await bootIdOf(own)
    await own.pause()
    await own.connect()
    expect(await bootIdOf(own)).toBe(bootId)
    await own.files.write('/home/user/kept', 'twice')
    await own.pause({ keepMemory: false })
    await own.connect()
    expect(await bootIdOf(own)).not.toBe(bootId)
    expect(await own.files.read('/home/user/kept')).toBe('twice')
  })
})

describeClients(
  'a pause with memory',
  (client) => {
    const create = ownSandboxes(client)

    test.each(['at once', 'later'])('can be discarded by a reboot %s', async (when) => {
      const own = await create()
      const bootId = await bootIdOf(own)
      await own.files.write('/home/user/kept', 'here')
      await own.pause()
      if (when === 'later') await delay(3_000)
      const resumed = await client.e2b.Sandbox.connect(own.sandboxId, { onResume: 'reboot' })
      expect(await bootIdOf(resumed)).not.toBe(bootId)
      expect(await resumed.files.read('/home/user/kept')).toBe('here')
    })
  },
  eachNewClient,
)

describeEachClient('a sandbox whose timeout has passed', (client) => {
  const { Sandbox } = client.e2b
  const create = ownSandboxes(client)
  const isPaused = (own: Sandbox) =>
    vi.waitFor(async () => expect((await own.getInfo()).state).toBe('paused'), {
      timeout: 20_000,
      interval: 250,
    })

  test('is paused if it was created with that setting, and connecting resumes it', async () => {
    const own = await create({ timeoutMs: 2_000, lifecycle: { onTimeout: 'pause' } })
    expect((await own.getInfo()).lifecycle).toEqual({ onTimeout: 'pause', autoResume: false })
    const bootId = await bootIdOf(own)
    await own.files.write('/tmp/kept', 'here')
    await isPaused(own)
    const resumed = await Sandbox.connect(own.sandboxId, { timeoutMs: 60_000 })
    expect([await resumed.files.read('/tmp/kept'), await bootIdOf(resumed)]).toEqual(['here', bootId])
  })

  test('is paused without its memory if it was created with that setting', async () => {
    const own = await create({
      timeoutMs: 2_000,
      lifecycle: { onTimeout: { action: 'pause', keepMemory: false } },
    })
    const bootId = await bootIdOf(own)
    await own.files.write('/home/user/kept', 'here')
    await isPaused(own)
    const resumed = await Sandbox.connect(own.sandboxId, { timeoutMs: 60_000 })
    expect(await resumed.files.read('/home/user/kept')).toBe('here')
    expect(await bootIdOf(resumed)).not.toBe(bootId)
  })

  test('is paused again after each resume', async () => {
    const own = await create({ timeoutMs: 1_000, lifecycle: { onTimeout: 'pause' } })
    for (let i = 0; i < 2; i++) {
      await isPaused(own)
      await own.connect({ timeoutMs: 1_000 })
    }
    await isPaused(own)
  })
})

describeClients('a paused sandbox that wakes on traffic', (client) => {
  const create = ownSandboxes(client)
  const lifecycle = { onTimeout: 'pause', autoResume: true } as const

  test('answers requests to its ports, all of them after one resume', async () => {
    const own = await create({ timeoutMs: 60_000, lifecycle })
    await own.files.write('/tmp/counter.py', COUNTER)
    await own.commands.run('python3 /tmp/counter.py', { background: true, timeoutMs: 0 })
    await own.commands.run('until curl -sf localhost:8000 >/dev/null; do sleep 0.1; done')
    const url = `https://${own.getHost(8000)}`
    const { secret } = await numbersOf(url)
    await own.pause()
    const answers = await Promise.all(Array.from({ length: 8 }, () => numbersOf(url)))
    expect(new Set(answers.map((answer) => answer.secret))).toEqual(new Set([secret]))
    const info = await own.getInfo()
    expect(info.state).toBe('running')
    expect(info.endAt.getTime() - Date.now()).toBeGreaterThan(280_000)
  })

  test('runs commands and serves files for callers with its token', async () => {
    const own = await create({ timeoutMs: 60_000, lifecycle })
    await own.pause()
    expect((await own.commands.run('echo awake')).stdout).toBe('awake\n')
    await own.files.write('/tmp/file', 'here')
    await own.pause()
    expect(await own.files.read('/tmp/file')).toBe('here')
    await own.pause()
    expect(await (await fetchWithin(await own.downloadUrl('/tmp/file'))).text()).toBe('here')
  })

  test('stays paused when a caller without a token asks its envd', async () => {
    const own = await create({ timeoutMs: 60_000, lifecycle })
    await own.pause()
    const response = await fetchWithin(`https://49983-${own.sandboxId}.${domain}/files?path=/etc/passwd`)
    expect(response.status).toBe(403)
    expect((await own.getInfo()).state).toBe('paused')
  })

  test('without that setting its ports are closed while it is paused', async () => {
    const own = await create({ timeoutMs: 60_000, lifecycle: { onTimeout: 'pause' } })
    await own.pause()
    expect((await fetchWithin(`https://${own.getHost(8000)}`)).status).toBe(502)
    expect(await rejection(own.commands.run('true'))).toBeInstanceOf(client.e2b.SandboxError)
    expect((await own.getInfo()).state).toBe('paused')
  })
})
