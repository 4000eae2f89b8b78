import { describe, expect, test } from 'vitest'
import { ask, clients, interpreters, sharedInterpreter } from './interpreter.ts'

describe.each(clients)('$name', (client) => {
  const sandbox = sharedInterpreter(client, { envs: { OF_SANDBOX: 'yes', BOTH: 'sandbox' } })

  test('state lasts from one execution to the next, and the last expression is the result', async () => {
    await sandbox().runCode('x = 1')
    const execution = await sandbox().runCode('x += 1; x')
    expect(execution.text).toBe('2')
    expect(execution.error).toBeUndefined()
    expect(execution.executionCount).toBe(2)
  })

  test('output is streamed while the code runs', async () => {
    const arrived: Array<[string, number]> = []
    const note = ({ line }: { line: string }) => void arrived.push([line, Date.now()])
    const execution = await sandbox().runCode(
      'import time, sys\nprint("one", flush=True)\ntime.sleep(1)\nprint("two", file=sys.stderr)\n"end"',
      { onStdout: note, onStderr: note },
    )
    expect(arrived.map(([line]) => line)).toEqual(['one\n', 'two\n'])
    expect(arrived[1]![1] - arrived[0]![1]).toBeGreaterThan(700)
    expect(execution.logs).toEqual({ stdout: ['one\n'], stderr: ['two\n'] })
    expect(execution.text).toBe('end')
  })

  test('an error has its name, value and traceback, and reaches its callback', async () => {
    const told: string[] = []
    const execution = await sandbox().runCode('1 / 0', { onError: (error) => void told.push(error.name) })
    expect(execution.error).toMatchObject({ name: 'ZeroDivisionError', value: 'division by zero' })
    expect(execution.error?.traceback).toContain('1 / 0')
    expect(told).toEqual(['ZeroDivisionError'])
  })

  test('contexts have a state and a folder each, are listed, restarted and removed', async () => {
    const context = await sandbox().createCodeContext({ cwd: '/tmp', language: 'python' })
    expect(context).toMatchObject({ language: 'python', cwd: '/tmp' })
    await sandbox().runCode('alone = 1', { context })
    expect((await sandbox().runCode('import os; os.getcwd()', { context })).text).toBe('/tmp')
    expect((await sandbox().runCode('alone')).error?.name).toBe('NameError')
    if ('listCodeContexts' in sandbox()) {
      expect((await sandbox().listCodeContexts()).map(({ id }) => id)).toContain(context.id)
      await sandbox().restartCodeContext(context)
      expect((await sandbox().runCode('alone', { context })).error?.name).toBe('NameError')
      await sandbox().removeCodeContext(context.id)
      expect((await sandbox().listCodeContexts()).map(({ id }) => id)).not.toContain(context.id)
      await expect(sandbox().runCode('1', { context })).rejects.toThrow(context.id)
    }
  })

  test('code sees variables of the sandbox; those of one execution end with it', async () => {
    const code =
      'import os; [os.environ.get(name) for name in ("OF_SANDBOX", "BOTH", "OF_RUN", "E2B_SANDBOX")]'
    const during = await sandbox().runCode(code, { envs: { OF_RUN: "it's ☃", BOTH: 'run' } })
    expect(during.text).toBe(`['yes', 'run', "it's ☃", 'true']`)
    expect((await sandbox().runCode(code)).text).toBe("['yes', 'sandbox', None, 'true']")
  })

  test('files are shared with the rest of the sandbox', async () => {
    await sandbox().files.write('data.csv', 'a,b\n1,2\n')
    const execution = await sandbox().runCode(
      'import pandas as pd\npd.read_csv("data.csv").to_json("out.json")',
    )
    expect(execution.error).toBeUndefined()
    expect(await sandbox().files.read('/home/user/out.json')).toBe('{"a":{"0":1},"b":{"0":2}}')
  })

  test('a timeout ends the code, and the kernel goes on with its state', async () => {
    await sandbox().runCode('kept = 7')
    await expect(sandbox().runCode('while True: pass', { timeoutMs: 1500 })).rejects.toThrow(
      /timeout|timed out/i,
    )
    expect((await sandbox().runCode('kept')).text).toBe('7')
  })
})

describe('results', () => {
  const sandbox = sharedInterpreter()

  test('a DataFrame has text, HTML and its columns as data', async () => {
    const { results } = await sandbox().runCode(
      'import pandas as pd\npd.DataFrame({"a": [1, None], "t": pd.to_datetime(["2024-01-01", None])})',
    )
    expect(results[0]).toMatchObject({ isMainResult: true, html: expect.stringContaining('<table') })
    expect(results[0]!.data).toEqual({ a: [1, null], t: ['2024-01-01T00:00:00', null] })
    expect(results[0]!.formats()).toEqual(expect.arrayContaining(['html', 'data']))
  })

  test('several displays arrive in order, and only the last expression is the main result', async () => {
    const { results, text } = await sandbox().runCode('display(1)\ndisplay(2)\n3')
    expect(results.map((result) => [result.text, result.isMainResult])).toEqual([
      ['1', false],
      ['2', false],
      ['3', true],
    ])
    expect(text).toBe('3')
  })

  test.each([
    ['HTML("<b>x</b>")', 'html', '<b>x</b>'],
    ['Markdown("# x")', 'markdown', '# x'],
    ['Latex("$x$")', 'latex', '$x$'],
    ['SVG("<svg xmlns=\'http://www.w3.org/2000/svg\'/>")', 'svg', expect.stringContaining('<svg')],
    ['Javascript("x()")', 'javascript', 'x()'],
    ['JSON({"x": [1]})', 'json', { x: [1] }],
  ])('%s is a result with %s', async (value, format, expected) => {
    const { results } = await sandbox().runCode(`from IPython.display import *\n${value}`)
    expect(results[0]).toHaveProperty(format, expected)
  })

  test('pictures are base64', async () => {
    const { results } = await sandbox().runCode(
      'import io\nfrom PIL import Image as I\nfrom IPython.display import Image\nb = io.BytesIO(); I.new("RGB", (2, 2)).save(b, "jpeg")\ndisplay(Image(b.getvalue(), format="jpeg"))\nI.new("RGB", (2, 2))',
    )
    expect(Buffer.from(results[0]!.jpeg!, 'base64').subarray(0, 2)).toEqual(Buffer.from([0xff, 0xd8]))
    expect(Buffer.from(results[1]!.png!, 'base64').toString('latin1', 1, 4)).toBe('PNG')
  })

  test('a MIME type without a name in the SDK is extra', async () => {
    const { results } = await sandbox().runCode(
      'display({"application/geo+json": {"type": "Point"}, "application/pdf": "JVBERg=="}, raw=True)',
    )
    expect(results[0]!.extra).toEqual({ 'application/geo+json': { type: 'Point' } })
    expect(results[0]!.pdf).toBe('JVBERg==')
  })

  test('a package that is installed by a magic command can be imported', async () => {
    const installed = await sandbox().runCode(
      '!pip install --quiet cowsay==6.1\nimport cowsay\ncowsay.__version__',
    )
    expect(installed).toMatchObject({ error: undefined, text: '6.1' })
  })
})

describe('security of a sandbox', () => {
  const create = interpreters()
  const body = JSON.stringify({ code: 'open("/tmp/ran", "w")' })

  test('only callers with the access token can run code', async () => {
    const sandbox = await create()
    for (const headers of [undefined, { 'X-Access-Token': 'wrong' }]) {
      const refused = await ask(sandbox, '/execute', { method: 'POST', body, headers })
      expect(refused.status).toBe(401)
      expect(await refused.text()).toContain('X-Access-Token')
    }
    expect(await sandbox.files.exists('/tmp/ran')).toBe(false)
    await sandbox.runCode('open("/tmp/ran", "w")')
    expect(await sandbox.files.exists('/tmp/ran')).toBe(true)
  })

  test('the ready check leaves nothing behind in the kernel', async () => {
    const sandbox = await create()
    for (let i = 0; i < 3; i++) expect((await ask(sandbox, '/health')).status).toBe(200)
    const { text, executionCount } = await sandbox.runCode('[_, __, [name for name in Out]]')
    expect(text).toBe("['', '', []]")
    expect(executionCount).toBe(1)
  })

  test('code runs as the user', async () => {
    const sandbox = await create()
    expect((await sandbox.runCode('import getpass, os; (getpass.getuser(), os.getcwd())')).text).toBe(
      "('user', '/home/user')",
    )
  })

  test('two sandboxes do not draw the same random numbers', async () => {
    const [a, b] = await Promise.all([create(), create()])
    const code = 'import random, numpy; (random.random(), numpy.random.rand())'
    expect((await a.runCode(code)).text).not.toBe((await b.runCode(code)).text)
  })

  test.each([
    [400, 'not JSON', '{'],
    [400, 'code is 1', '{"code":1}'],
    [400, 'these are known: python', JSON.stringify({ code: '1', language: 'cobol' })],
    [404, '"none"', JSON.stringify({ code: '1', context_id: 'none' })],
    [413, '8388608', JSON.stringify({ code: 'x'.repeat(9_000_000) })],
  ])('a request is refused with %i and a word about %s', async (status, message, body) => {
    const sandbox = await create()
    const headers = { 'X-Access-Token': (sandbox as unknown as { envdAccessToken: string }).envdAccessToken }
    const response = await ask(sandbox, '/execute', { method: 'POST', body, headers })
    expect(response.status).toBe(status)
    expect(await response.text()).toContain(message)
  })
})

describe('a pause', () => {
  const create = interpreters()

  test('keeps the variables of every kernel', async () => {
    const sandbox = await create()
    await sandbox.runCode('x = 41')
    await sandbox.runCode('const y = 42', { language: 'javascript' })
    await sandbox.runCode('Z=43', { language: 'bash' })
    await sandbox.pause()
    await sandbox.connect()
    expect((await sandbox.runCode('x')).text).toBe('41')
    expect((await sandbox.runCode('y', { language: 'javascript' })).text).toBe('42')
    expect((await sandbox.runCode('echo $Z', { language: 'bash' })).logs.stdout.join('')).toBe('43\n')
  })
})
