import { describe, expect, test, vi } from 'vitest'
import { ask, current280, interpreters, type Options } from './interpreter.ts'

/** Whatever code does to its kernel, the service answers afterwards. */
describe('hostile code', () => {
  const create = interpreters()

  test('the death of a kernel is reported once, and the next execution has a new kernel', async () => {
    const sandbox = await create()
    await sandbox.runCode('x = 1')
    const died = await sandbox.runCode('import os; os._exit(3)')
    expect(died.error).toMatchObject({ name: 'KernelDied', value: expect.stringContaining('exit code 3') })
    expect((await sandbox.runCode('x')).error?.name).toBe('NameError')
  })

  test('the death of an idle kernel is reported by the next execution, whose code is not run', async () => {
    const sandbox = await create()
    await sandbox.runCode('x = 1')
    await sandbox.commands.run('pkill -KILL -f sandlot_interpreter.kernel')
    const told = await sandbox.runCode('open("/tmp/ran", "w")')
    expect(told.error).toMatchObject({ name: 'KernelDied', value: expect.stringContaining('SIGKILL') })
    expect(await sandbox.files.exists('/tmp/ran')).toBe(false)
    expect((await sandbox.runCode('1 + 1')).text).toBe('2')
  })

  test('code that ignores its interrupt loses its kernel, and does not block the context', async () => {
    const sandbox = await create()
    const stubborn =
      'import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint("deaf", flush=True)\nwhile True: pass'
    let said = ''
    const ended = sandbox.runCode(stubborn, { timeoutMs: 4000, onStdout: ({ line }) => void (said += line) })
    await expect(ended).rejects.toThrow()
    expect(said).toBe('deaf\n')
    const told = await sandbox.runCode('1', { timeoutMs: 60_000 })
    expect(told.error).toMatchObject({ name: 'KernelDied', value: expect.stringContaining('did not stop') })
    expect((await sandbox.runCode('1 + 1')).text).toBe('2')
  })

  test('endless output does not fill the memory of the sandbox, and ends when its reader goes', async () => {
    const sandbox = await create()
    let chars = 0
    const endless = sandbox.runCode('while True: print("x" * 9999)', {
      timeoutMs: 15_000,
      // The reader is slower than the writer
      onStdout: async ({ line }) => {
        chars += line.length
        await new Promise((resolve) => setTimeout(resolve, 20))
      },
    })
    await expect(endless).rejects.toThrow()
    expect(chars).toBeGreaterThan(1_000_000)
    const used = await sandbox.commands.run(
      `ps -o rss= -C node,python3 | awk '{ sum += $1 } END { print sum }'`,
    )
    expect(Number(used.stdout)).toBeLessThan(700_000)
    expect((await sandbox.runCode('1 + 1', { timeoutMs: 60_000 })).text).toBe('2')
  })

  test('a fork bomb is reported and affects no other sandbox; its own sandbox may end', async () => {
    const [sandbox, neighbour] = [await create(), await create()]
    const bomb = sandbox.runCode('import os\nwhile True: os.fork()', { timeoutMs: 30_000 })
    const outcome = await bomb.then(
      ({ error }) => error?.name,
      (error: Error) => error.message,
    )
    // the last ones: on a host that cannot spare the sandbox's kernel (docs/adr/0004), before or after the answer began
    expect(outcome).toMatch(
      /^KernelDied$|connection|timed out|terminated|sandbox was killed|sandbox was not found/,
    )
    expect((await neighbour.runCode('1 + 1')).text).toBe('2')
    await sandbox.kill({ requestTimeoutMs: 60_000 })
    expect((await (await create()).runCode('1 + 1')).text).toBe('2')
  })

  test('a result of 100 MB is omitted with a reason, and the kernel goes on', async () => {
    const sandbox = await create()
    const execution = await sandbox.runCode('x = 7; "y" * 100_000_000', { timeoutMs: 120_000 })
    expect(execution.results).toEqual([])
    expect(execution.logs.stderr.join('')).toMatch(/^A result of 100000000 characters was left out: \d+ are/)
    expect((await sandbox.runCode('x')).text).toBe('7')
  })

  test('a kernel that takes all memory dies in the middle of its code, and nothing else dies', async () => {
    const sandbox = await create()
    const hog = 'blocks = []\nwhile True:\n  blocks.append(b"x" * 16_000_000)\n  print(len(blocks))'
    const died = await sandbox.runCode(hog, { timeoutMs: 120_000 })
    expect(died.error).toMatchObject({ name: 'KernelDied', value: expect.stringContaining('SIGKILL') })
    expect(died.logs.stdout.join('')).toContain('10\n')
    expect((await sandbox.commands.run('echo well')).stdout).toBe('well\n')
    expect((await sandbox.runCode('1 + 1', { timeoutMs: 60_000 })).text).toBe('2')
  })

  test('when the service dies, processes of its kernels die too, and the lost state is reported once', async () => {
    const sandbox = await create()
    const started = await sandbox.runCode(
      'import subprocess\nsubprocess.Popen(["sleep", "1234"], start_new_session=True).pid',
    )
    await sandbox.commands.run(`pkill -KILL -f '^node /opt/code-interpreter'`)
    const told = await vi.waitFor(() => sandbox.runCode('1', { timeoutMs: 60_000 }), {
      timeout: 60_000,
      interval: 500,
    })
    expect(told.error).toMatchObject({ name: 'KernelDied', value: expect.stringContaining('the service') })
    const { stdout } = await sandbox.commands.run(`ps -o stat= -p ${started.text} || true`)
    expect(stdout.trim()).toMatch(/^Z?$/)
    expect((await sandbox.runCode('1 + 1')).text).toBe('2')
  })

  test('as many contexts can be made as memory allows, and one more is refused', async () => {
    const sandbox = await create()
    const made: string[] = []
    let refused = ''
    while (refused === '' && made.length < 100) {
      await sandbox.createCodeContext({ requestTimeoutMs: 60_000 }).then(
        ({ id }) => void made.push(id),
        (error: Error) => {
          refused = error.message
        },
      )
    }
    expect(refused).toMatch(/^429.* remove one first/)
    await sandbox.removeCodeContext(made[0]!)
    expect(await sandbox.createCodeContext()).toMatchObject({ language: 'python' })
  })
})

/** Requests of a stranger who knows only the sandbox's id. */
describe('a wrong access token', () => {
  const create = interpreters(current280)

  test('is refused on every route, and changes nothing', async () => {
    const sandbox = await create({ secure: true } as Options)
    const { id } = await sandbox.createCodeContext()
    const wrong = { 'X-Access-Token': 'not-the-token' }
    for (const [method, path, body] of [
      ['POST', '/execute', '{"code":"1"}'],
      ['GET', '/contexts'],
      ['POST', '/contexts', '{}'],
      ['POST', `/contexts/${id}/restart`],
      ['DELETE', `/contexts/${id}`],
    ])
      expect([path, (await ask(sandbox, path!, { method, body, headers: wrong })).status]).toEqual([
        path,
        401,
      ])
    expect((await sandbox.listCodeContexts()).map((context) => context.id)).toContain(id)
    expect((await ask(sandbox, '/execute', { method: 'POST', body: '{"code":"1"}' })).status).toBe(401)
  })

  test('is useless when public traffic is closed: no route answers without the traffic token', async () => {
    const sandbox = await create({ network: { allowPublicTraffic: false } } as Options)
    expect((await sandbox.listCodeContexts()).length).toBeGreaterThan(0)
    for (const path of ['/health', '/contexts']) expect((await ask(sandbox, path)).status).toBe(403)
  })
})
