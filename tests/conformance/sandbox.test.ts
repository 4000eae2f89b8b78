import { expect, test, vi } from 'vitest'
import {
  describeClients,
  domain,
  fetchWithin,
  ownSandboxes,
  rejection,
  runId,
  sharedSandbox,
  v1ByHost,
} from './official.ts'

describeClients('a sandbox', (client) => {
  const { Sandbox } = client.e2b
  const sandbox = sharedSandbox(client, {
    metadata: { runId, colour: 'grün & blue=1' },
    envs: { GREETING: 'hallo ☃' },
  })
  const create = ownSandboxes(client)

  test('is created from the template base by default', async () => {
    const info = await sandbox().getInfo()
    expect(sandbox().sandboxId).toMatch(/^[a-z0-9]+$/)
    expect(info).toMatchObject({
      sandboxId: sandbox().sandboxId,
      name: 'base',
      state: 'running',
      envdVersion: '0.6.13',
      metadata: { runId, colour: 'grün & blue=1' },
    })
    expect(info.templateId).toMatch(/^[a-z0-9]{20}$/)
    expect(info.cpuCount).toBeGreaterThan(0)
    expect(info.memoryMB).toBeGreaterThan(0)
    expect(Math.abs(Date.now() - info.startedAt.getTime())).toBeLessThan(120_000)
    expect(info.endAt.getTime() - info.startedAt.getTime()).toBeGreaterThan(590_000)
  })

  test('can be created by template name and by template id', async () => {
    const byName = await Sandbox.create('base', { metadata: { runId } })
    try {
      const { templateId } = await byName.getInfo()
      const byId = await Sandbox.create(templateId, { metadata: { runId } })
      await byId.kill()
    } finally {
      await byName.kill()
    }
  })

  test('lives 300 s when no timeout is given', async () => {
    const created = await Sandbox.create({ metadata: { runId } })
    try {
      const { startedAt, endAt } = await created.getInfo()
      expect(Math.abs(endAt.getTime() - startedAt.getTime() - 300_000)).toBeLessThan(3_000)
    } finally {
      await created.kill()
    }
  })

  test('has the environment it was created with in every command', async () => {
    const { stdout } = await sandbox().commands.run(
      'printf "%s|%s|%s" "$GREETING" "$E2B_SANDBOX" "$E2B_SANDBOX_ID"',
    )
    expect(stdout).toBe(`hallo ☃|true|${sandbox().sandboxId}`)
  })

  test('can be connected to by its id and is the same machine', async () => {
    await sandbox().files.write('/tmp/connected', 'here')
    const connected = await Sandbox.connect(sandbox().sandboxId)
    expect(await connected.files.read('/tmp/connected')).toBe('here')
    await sandbox().connect()
    expect(await sandbox().files.read('/tmp/connected')).toBe('here')
  })

  test('keeps its deadline when a connect has a shorter timeout, and extends it for a longer one', async () => {
    const own = await create({ timeoutMs: 100_000 })
    const before = (await own.getInfo()).endAt.getTime()
    await Sandbox.connect(own.sandboxId, { timeoutMs: 10_000 })
    expect((await own.getInfo()).endAt.getTime()).toBe(before)
    await Sandbox.connect(own.sandboxId, { timeoutMs: 500_000 })
    expect((await own.getInfo()).endAt.getTime()).toBeGreaterThan(before + 300_000)
  })

  test('gets a new deadline by setTimeout, shorter or longer', async () => {
    const own = await create()
    for (const timeoutMs of [600_000, 30_000]) {
      await own.setTimeout(timeoutMs)
      const { endAt } = await own.getInfo()
      expect(Math.abs(endAt.getTime() - Date.now() - timeoutMs)).toBeLessThan(5_000)
    }
    await Sandbox.setTimeout(own.sandboxId, 60_000)
    expect((await Sandbox.getInfo(own.sandboxId)).endAt.getTime()).toBeGreaterThan(Date.now() + 50_000)
  })

  test('is killed when its timeout expires', async () => {
    const own = await create({ timeoutMs: 2_000 })
    expect(await own.isRunning()).toBe(true)
    await vi.waitFor(async () => expect(await own.isRunning()).toBe(false), {
      timeout: 10_000,
      interval: 250,
    })
    const error = await rejection(own.commands.run('true'))
    expect(error).toBeInstanceOf(client.e2b.SandboxError)
    // 409 while the machine is still being ended
    await vi.waitFor(
      async () =>
        expect(await rejection(Sandbox.connect(own.sandboxId))).toBeInstanceOf(
          client.e2b.SandboxNotFoundError,
        ),
      { timeout: 10_000, interval: 100 },
    )
  })

  test('is not found after kill, and a second kill returns false', async () => {
    const own = await create()
    expect(await own.kill()).toBe(true)
    expect(await own.isRunning()).toBe(false)
    expect(await own.kill()).toBe(false)
    expect(await Sandbox.kill(own.sandboxId)).toBe(false)
    expect(await rejection(Sandbox.getInfo(own.sandboxId))).toBeInstanceOf(client.e2b.SandboxNotFoundError)
    expect(await rejection(own.setTimeout(10_000))).toBeInstanceOf(client.e2b.SandboxNotFoundError)
  })

  test('reports its metrics within 30 s', async () => {
    const metrics = await vi.waitFor(
      async () => {
        const samples = await sandbox().getMetrics()
        expect(samples.length).toBeGreaterThan(0)
        return samples
      },
      { timeout: 30_000, interval: 1_000 },
    )
    const info = await sandbox().getInfo()
    const last = metrics.at(-1)!
    expect(last.cpuCount).toBe(info.cpuCount)
    expect(last.cpuUsedPct).toBeGreaterThanOrEqual(0)
    expect(last.memTotal).toBe(info.memoryMB * 1024 * 1024)
    expect(last.memUsed).toBeGreaterThan(0)
    expect(last.memUsed).toBeLessThan(last.memTotal)
    expect(last.diskTotal).toBeGreaterThan(1024 ** 3)
    expect(last.diskUsed).toBeGreaterThanOrEqual(0)
    expect(Math.abs(Date.now() - last.timestamp.getTime())).toBeLessThan(30_000)
    const none = await sandbox().getMetrics({ start: new Date(0), end: new Date(1_000) })
    expect(none).toEqual([])
  })

  test('shows its limits to programs', async () => {
    const info = await sandbox().getInfo()
    const { stdout } = await sandbox().commands.run(`nproc; awk '/MemTotal/ {print $2}' /proc/meminfo`)
    const [cpus, memoryKb] = stdout.trim().split('\n').map(Number)
    expect(cpus).toBe(info.cpuCount)
    expect(memoryKb! / 1024).toBeLessThanOrEqual(info.memoryMB)
  })

  test('has a default user that may become root', async () => {
    const { stdout } = await sandbox().commands.run('id -un; pwd; sudo id -un')
    expect(stdout).toBe('user\n/home/user\nroot\n')
  })
})

describeClients('lists of sandboxes', (client) => {
  const { Sandbox } = client.e2b
  const create = ownSandboxes(client)

  test('are filtered by metadata, in pages, newest first', async () => {
    const list = `list-${runId}-${Math.random()}`
    const ids: string[] = []
    for (const index of ['0', '1', '2']) {
      ids.push(
        (await create({ metadata: { runId, list, index, 'key with spaces & =': '100 % ä' } })).sandboxId,
      )
    }
    const paginator = Sandbox.list({ query: { metadata: { list } }, limit: 2 })
    expect(paginator.hasNext).toBe(true)
    const first = await paginator.nextItems()
    expect(first.map((info) => info.sandboxId)).toEqual([ids[2], ids[1]])
    expect(paginator.hasNext).toBe(true)
    const second = await paginator.nextItems()
    expect(second.map((info) => info.sandboxId)).toEqual([ids[0]])
    expect(paginator.hasNext).toBe(false)
    await expect(paginator.nextItems()).rejects.toThrow(/no more items/i)

    const both = Sandbox.list({ query: { metadata: { list, index: '1', 'key with spaces & =': '100 % ä' } } })
    expect((await both.nextItems()).map((info) => info.sandboxId)).toEqual([ids[1]])
    const neither = Sandbox.list({ query: { metadata: { list, index: '7' } } })
    expect(await neither.nextItems()).toEqual([])
  })

  test('are filtered by state', async () => {
    const list = `state-${runId}-${Math.random()}`
    const { sandboxId } = await create({ metadata: { list } })
    const running = Sandbox.list({ query: { metadata: { list }, state: ['running'] } })
    expect(await running.nextItems()).toMatchObject([
      { sandboxId, state: 'running', metadata: { list }, name: 'base' },
    ])
    expect(await Sandbox.list({ query: { metadata: { list }, state: ['paused'] } }).nextItems()).toEqual([])
  })

  test('no longer contain a sandbox that was killed', async () => {
    const list = `killed-${runId}-${Math.random()}`
    const own = await create({ metadata: { list } })
    await own.kill()
    expect(await Sandbox.list({ query: { metadata: { list } } }).nextItems()).toEqual([])
  })

  test('answer an invalid page token with an error that names it', async () => {
    const error = await rejection(Sandbox.list({ nextToken: 'rubbish' }).nextItems())
    expect(error.message).toMatch(/^400: .*next ?token/i)
  })
})

describeClients('secure mode', (client) => {
  const sandbox = sharedSandbox(client)

  test('refuses commands and files without the access token', async () => {
    const envd = `https://49983-${sandbox().sandboxId}.${domain}`
    const requests: [string, RequestInit][] = [
      [
        '/process.Process/List',
        { method: 'POST', body: '{}', headers: { 'Content-Type': 'application/json' } },
      ],
      [
        '/filesystem.Filesystem/Stat',
        { method: 'POST', body: '{"path":"/"}', headers: { 'Content-Type': 'application/json' } },
      ],
      ['/files?path=/etc/passwd', {}],
      ['/metrics', {}],
      ['/envs', {}],
    ]
    for (const [path, init] of requests) {
      for (const token of ['', '0'.repeat(32)]) {
        const response = await fetchWithin(envd + path, {
          ...init,
          headers: {
            ...(init.headers as Record<string, string>),
            ...(token ? { 'X-Access-Token': token } : {}),
          },
        })
        expect(response.status, `${path} ${token}`).toBe(401)
        expect(await response.text()).not.toMatch(/root:x/)
      }
    }
    expect((await fetchWithin(`${envd}/health`)).status).toBe(204)
  })
})

describeClients(
  'a sandbox created with secure: false',
  (client) => {
    const sandbox = sharedSandbox(client, { secure: false })

    test('runs commands and serves files without a signature', async () => {
      expect((await sandbox().commands.run('echo open')).stdout).toBe('open\n')
      await sandbox().files.write('/tmp/open.txt', 'open')
      const url = await sandbox().downloadUrl('/tmp/open.txt')
      const response = await fetchWithin(url)
      expect([response.status, await response.text()]).toEqual([200, 'open'])
    })
  },
  [v1ByHost],
)
