import { createHash } from 'node:crypto'
import { expect, test, vi } from 'vitest'
import { describeClients, ownSandboxes, rejection, sharedSandbox, signal } from './official.ts'

describeClients('commands', (client) => {
  const { CommandExitError, TimeoutError, InvalidArgumentError, NotFoundError, AuthenticationError } =
    client.e2b
  const sandbox = sharedSandbox(client, { envs: { WHERE: 'sandbox', BOTH: 'sandbox' } })
  const create = ownSandboxes(client)

  test('return their exit code and both outputs', async () => {
    const result = await sandbox().commands.run('echo out; echo err >&2')
    expect(result).toMatchObject({ exitCode: 0, stdout: 'out\n', stderr: 'err\n' })
  })

  test.each([1, 2, 127, 255])('reject with CommandExitError for exit code %i', async (exitCode) => {
    const error = await rejection(sandbox().commands.run(`echo out; echo err >&2; exit ${exitCode}`))
    expect(error).toBeInstanceOf(CommandExitError)
    expect(error).toMatchObject({ exitCode, stdout: 'out\n', stderr: 'err\n' })
  })

  test('deliver output as it arrives, before they end', async () => {
    const first = signal<string>()
    const handle = await sandbox().commands.run('echo one; read line; echo "two $line"', {
      background: true,
      stdin: true,
      onStdout: (chunk) => first.resolve(chunk),
    })
    expect(await first.promise).toBe('one\n')
    await sandbox().commands.sendStdin(handle.pid, 'go\n')
    expect((await handle.wait()).stdout).toBe('one\ntwo go\n')
  })

  test('deliver Unicode intact even when a character is split between two writes', async () => {
    const { stdout } = await sandbox().commands.run(
      `printf '\\xe2\\x98'; sleep 0.1; printf '\\x83 ☃ äöü 日本'`,
    )
    expect(stdout).toBe('☃ ☃ äöü 日本')
  })

  test('deliver more than 10 MB of output exactly', async () => {
    const hash = createHash('sha256')
    let sizeBytes = 0
    const { stdout } = await sandbox().commands.run('seq 1 1600000', {
      timeoutMs: 60_000,
      onStdout: (chunk) => {
        hash.update(chunk)
        sizeBytes += chunk.length
      },
    })
    const expected = `${Array.from({ length: 1_600_000 }, (_, i) => i + 1).join('\n')}\n`
    expect(stdout.length).toBe(expected.length)
    expect(stdout === expected).toBe(true)
    expect(sizeBytes).toBe(expected.length)
    expect(hash.digest('hex')).toBe(createHash('sha256').update(expected).digest('hex'))
  }, 90_000)

  test('get the environment of the sandbox, overridden by their own', async () => {
    const { stdout } = await sandbox().commands.run('echo "$WHERE $BOTH $OWN"', {
      envs: { BOTH: 'command', OWN: 'a "quoted" $value' },
    })
    expect(stdout).toBe('sandbox command a "quoted" $value\n')
  })

  test('run in the given directory', async () => {
    expect((await sandbox().commands.run('pwd', { cwd: '/var/log' })).stdout).toBe('/var/log\n')
    expect((await sandbox().commands.run('pwd')).stdout).toBe('/home/user\n')
  })

  test('are refused when the directory does not exist', async () => {
    const error = await rejection(sandbox().commands.run('true', { cwd: '/does/not/exist' }))
    expect(error).toBeInstanceOf(InvalidArgumentError)
    expect(error.message).toContain(`cwd '/does/not/exist' does not exist`)
  })

  test('run as the given user with its home and groups', async () => {
    const { stdout } = await sandbox().commands.run('id -un; echo "$HOME $USER $LOGNAME"; pwd', {
      user: 'root',
    })
    expect(stdout).toBe('root\n/root root root\n/root\n')
  })

  test('are refused for an unknown user', async () => {
    const error = await rejection(sandbox().commands.run('true', { user: 'nobody-like-this' }))
    expect(error).toBeInstanceOf(AuthenticationError)
    expect(error.message).toContain(`invalid username: 'nobody-like-this'`)
  })

  test('are killed when their timeout expires', async () => {
    const error = await rejection(sandbox().commands.run('exec sleep 4711', { timeoutMs: 700 }))
    expect(error).toBeInstanceOf(TimeoutError)
    expect(error.message).toMatch(/timeoutMs/)
    await vi.waitFor(async () => {
      const listed = await sandbox().commands.list()
      expect(listed.filter((process) => process.args.join(' ').includes('sleep 4711'))).toEqual([])
    }, 10_000)
    await expect(sandbox().commands.run('pgrep -f "sleep 471[1]"')).rejects.toBeInstanceOf(CommandExitError)
  })

  test('have no limit with timeoutMs: 0', async () => {
    expect((await sandbox().commands.run('sleep 1; echo done', { timeoutMs: 0 })).stdout).toBe('done\n')
  })

  test('in the background are listed with their command line, and killed by pid', async () => {
    const handle = await sandbox().commands.run('sleep 300 # listed', {
      background: true,
      cwd: '/tmp',
      envs: { LISTED: 'yes' },
    })
    const listed = (await sandbox().commands.list()).find((process) => process.pid === handle.pid)
    expect(listed).toMatchObject({ cmd: '/bin/bash', args: ['-l', '-c', 'sleep 300 # listed'], cwd: '/tmp' })
    expect(listed!.envs).toMatchObject({ LISTED: 'yes' })
    expect(await sandbox().commands.kill(handle.pid)).toBe(true)
    const error = await rejection(handle.wait())
    expect(error).toBeInstanceOf(CommandExitError)
    expect(error).toMatchObject({ exitCode: -1, error: 'signal: killed' })
    expect((await sandbox().commands.list()).map((process) => process.pid)).not.toContain(handle.pid)
  })

  test('that do not run cannot be killed or connected to', async () => {
    expect(await sandbox().commands.kill(999_999)).toBe(false)
    const error = await rejection(sandbox().commands.connect(999_999))
    expect(error).toBeInstanceOf(NotFoundError)
    expect(error.message).toContain('process with pid 999999 not found')
  })

  test('read what is sent to their stdin until it is closed', async () => {
    const handle = await sandbox().commands.run('cat; echo "[end]"', { background: true, stdin: true })
    await sandbox().commands.sendStdin(handle.pid, 'first\n')
    await handle.sendStdin(new TextEncoder().encode('zweite ☃\n'))
    await sandbox().commands.closeStdin(handle.pid)
    expect((await handle.wait()).stdout).toBe('first\nzweite ☃\n[end]\n')
  })

  test('read a megabyte of stdin', async () => {
    const handle = await sandbox().commands.run('wc -c', { background: true, stdin: true })
    for (let i = 0; i < 8; i++) await handle.sendStdin('x'.repeat(128 * 1024))
    await handle.closeStdin()
    expect((await handle.wait()).stdout.trim()).toBe(String(1024 * 1024))
  })

  test('have an empty stdin unless it was requested', async () => {
    expect((await sandbox().commands.run('cat; echo end')).stdout).toBe('end\n')
    const handle = await sandbox().commands.run('sleep 30', { background: true })
    const error = await rejection(sandbox().commands.sendStdin(handle.pid, 'x'))
    expect(error.message).toContain('stdin not enabled or closed')
    await handle.kill()
  })

  test('keep running after a disconnect and can be connected to again', async () => {
    const handle = await sandbox().commands.run('read a; echo "got $a"; read b; echo "got $b"; exit 3', {
      background: true,
      stdin: true,
    })
    await handle.disconnect()
    const seen: string[] = []
    const again = await sandbox().commands.connect(handle.pid, { onStdout: (chunk) => void seen.push(chunk) })
    expect(again.pid).toBe(handle.pid)
    await sandbox().commands.sendStdin(handle.pid, '1\n2\n')
    const error = await rejection(again.wait())
    expect(error).toMatchObject({ exitCode: 3, stdout: 'got 1\ngot 2\n' })
    expect(seen.join('')).toBe('got 1\ngot 2\n')
  })

  test('can be followed by several clients at once', async () => {
    const handle = await sandbox().commands.run('read a; echo "got $a"', { background: true, stdin: true })
    const others = await Promise.all([1, 2, 3].map(() => sandbox().commands.connect(handle.pid)))
    await handle.sendStdin('x\n')
    const results = await Promise.all([handle, ...others].map((each) => each.wait()))
    expect(results.map((result) => result.stdout)).toEqual(Array(4).fill('got x\n'))
  })

  test('keep their exit code for a client that connects after the end', async () => {
    const handle = await sandbox().commands.run('read a; exit 7', { background: true, stdin: true })
    await handle.disconnect()
    await sandbox().commands.sendStdin(handle.pid, 'x\n')
    const late = await sandbox().commands.connect(handle.pid)
    expect(await rejection(late.wait())).toMatchObject({ exitCode: 7 })
  })

  test('start twenty concurrently', async () => {
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, i) => sandbox().commands.run(`echo ${i}`, { timeoutMs: 30_000 })),
    )
    expect(results.map((result) => result.stdout)).toEqual(Array.from({ length: 20 }, (_, i) => `${i}\n`))
  }, 40_000)

  test('leave their child processes running when they end', async () => {
    const { stdout } = await sandbox().commands.run('nohup sleep 4712 >/dev/null 2>&1 & echo $!')
    const alive = await sandbox().commands.run(`kill -0 ${stdout.trim()} && echo alive`)
    expect(alive.stdout).toBe('alive\n')
    await sandbox().commands.run(`kill ${stdout.trim()}`)
  })

  test('stop with a TimeoutError that says so when the sandbox is killed', async () => {
    const own = await create()
    const started = signal<void>()
    const handle = await own.commands.run('echo up; sleep 300', {
      background: true,
      onStdout: () => started.resolve(),
    })
    await started.promise
    const [error] = await Promise.all([rejection(handle.wait()), own.kill()])
    expect(error).toBeInstanceOf(TimeoutError)
    expect(error.message).toContain(
      'The sandbox was killed or reached its end of life while the request was in flight',
    )
  })

  test('stop with a TimeoutError when the sandbox reaches its end', async () => {
    const own = await create({ timeoutMs: 3_000 })
    const error = await rejection(own.commands.run('sleep 300', { timeoutMs: 20_000 }))
    expect(error).toBeInstanceOf(TimeoutError)
    expect(error.message).toContain(
      'The sandbox was killed or reached its end of life while the request was in flight',
    )
  }, 30_000)

  test('cannot start in a sandbox that was killed', async () => {
    const own = await create()
    await own.kill()
    const error = await rejection(own.commands.run('true'))
    expect(error.message).toMatch(/sandbox/i)
    expect([client.e2b.SandboxNotFoundError, TimeoutError].some((type) => error instanceof type)).toBe(true)
  })
})
