import { expect, test } from 'vitest'
import { describeClients, ownSandboxes, rejection, runId, sharedSandbox, signal } from './official.ts'

describeClients('errors of the API', (client) => {
  const { Sandbox, AuthenticationError, SandboxError, SandboxNotFoundError } = client.e2b
  const create = ownSandboxes(client)
  const unknown = 'i0123456789abcdefghij'

  test('a wrong key is an AuthenticationError', async () => {
    const wrong = { apiKey: `e2b_${'0'.repeat(40)}` }
    for (const attempt of [
      () => Sandbox.create(wrong),
      () => Sandbox.list(wrong).nextItems(),
      () => Sandbox.connect(unknown, wrong),
      () => Sandbox.kill(unknown, wrong),
    ]) {
      const error = await rejection(attempt())
      expect(error).toBeInstanceOf(AuthenticationError)
      expect(error.message).not.toContain(wrong.apiKey)
    }
  })

  // The official clients have no class of their own for a 404 on create: it is a SandboxError that starts with `404:`.
  test('an unknown template is refused with similar names', async () => {
    const error = await rejection(Sandbox.create('bsae'))
    expect(error).toBeInstanceOf(SandboxError)
    expect(error.message).toMatch(/^404: template 'bsae' not found.*\bbase\b/s)
    const tag = await rejection(Sandbox.create('base:no-such-tag'))
    expect(tag.message).toMatch(/^404: tag 'no-such-tag' does not exist for template 'base'/)
  })

  test('an unknown sandbox is a SandboxNotFoundError', async () => {
    for (const attempt of [
      () => Sandbox.connect(unknown),
      () => Sandbox.getInfo(unknown),
      () => Sandbox.setTimeout(unknown, 10_000),
      () => Sandbox.getMetrics(unknown),
    ]) {
      expect(await rejection(attempt())).toBeInstanceOf(SandboxNotFoundError)
    }
    expect(await Sandbox.kill(unknown)).toBe(false)
  })

  test('a malformed id is answered like an unknown one', async () => {
    for (const id of ['../../etc/passwd', 'A-B', 'x'.repeat(5_000), '%00', 'i0;rm -rf /']) {
      expect((await rejection(Sandbox.getInfo(id))).message).toMatch(/not found|^4\d\d: /)
    }
  })

  test('a timeout that is out of range is refused with the range', async () => {
    const error = await rejection(Sandbox.create({ timeoutMs: 1e15, metadata: { runId } }))
    expect(error.message).toMatch(/^400: .*timeout/i)
    const own = await create()
    expect((await rejection(own.setTimeout(1e15))).message).toMatch(/^400: .*timeout/i)
    expect((await rejection(own.setTimeout(-5_000))).message).toMatch(/^400: .*timeout/)
    expect(await own.isRunning()).toBe(true)
  })
})

describeClients('giving up', (client) => {
  const sandbox = sharedSandbox(client)
  const isAbort = (error: Error) => /abort|cancel/i.test(`${error.name} ${error.message}`)

  test('an aborted signal ends a create, a list, a command and a read', async () => {
    const aborted = AbortSignal.abort()
    expect(isAbort(await rejection(client.e2b.Sandbox.create({ signal: aborted })))).toBe(true)
    expect(isAbort(await rejection(client.e2b.Sandbox.list().nextItems({ signal: aborted })))).toBe(true)
    expect(isAbort(await rejection(sandbox().commands.run('true', { signal: aborted })))).toBe(true)
    expect(isAbort(await rejection(sandbox().files.read('/etc/hostname', { signal: aborted })))).toBe(true)
  })

  test('a signal that aborts later ends a running command, and the sandbox keeps running', async () => {
    const controller = new AbortController()
    const started = signal<void>()
    const run = sandbox().commands.run('echo started; sleep 60', {
      signal: controller.signal,
      onStdout: () => started.resolve(),
    })
    run.catch(() => {})
    await started.promise
    controller.abort()
    expect(isAbort(await rejection(run))).toBe(true)
    expect((await sandbox().commands.run('echo on')).stdout).toBe('on\n')
  })

  test('a signal that aborts later ends an upload half-way, and the sandbox keeps running', async () => {
    const controller = new AbortController()
    let sent = 0
    const endless = new ReadableStream<Uint8Array>({
      async pull(stream) {
        // Yields to the event loop, so that the abort is noticed.
        await new Promise(setImmediate)
        stream.enqueue(new Uint8Array(64 * 1024))
        if (++sent === 64) controller.abort()
      },
    })
    const attempt = sandbox().files.write('/tmp/endless', endless, { signal: controller.signal })
    await rejection(attempt)
    expect((await sandbox().commands.run('echo on')).stdout).toBe('on\n')
  })

  test('requestTimeoutMs ends a request that takes longer', async () => {
    const error = await rejection(client.e2b.Sandbox.create({ requestTimeoutMs: 1, metadata: { runId } }))
    expect(error.name).toMatch(/timeout|abort/i)
    const list = await rejection(sandbox().commands.list({ requestTimeoutMs: 1 }))
    expect(`${list.name} ${list.message}`).toMatch(/timeout|timed out|aborted/i)
  })
})
