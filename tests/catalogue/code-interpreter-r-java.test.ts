import { Template } from 'e2b-official'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { current280, type Interpreter, interpreters, TEMPLATE } from './interpreter.ts'

/** Two builds that fetch 400 MB of packages: not for every run. */
const isWanted = process.env.TEST_R_AND_JAVA !== undefined
const BUILD_TIMEOUT_MS = 15 * 60_000

const installed = (command: string) =>
  Template().fromTemplate(TEMPLATE).runCmd(`${command} && rm -rf /var/lib/apt/lists/*`, { user: 'root' })

/** As the README of the template has them. */
const templates = {
  r: installed('apt-get update && apt-get install --yes --no-install-recommends r-base-core r-cran-irkernel'),
  java: installed(
    'apt-get update && apt-get install --yes --no-install-recommends openjdk-17-jdk-headless && pip install --no-cache-dir jjava==1.0a8',
  ),
}

describe('r and java where they are not installed', () => {
  const create = interpreters()

  test('the error says how they are', async () => {
    const sandbox = await create()
    await expect(sandbox.runCode('1', { language: 'r' })).rejects.toThrow(/apt-get .* r-cran-irkernel/)
    await expect(sandbox.runCode('1', { language: 'java' })).rejects.toThrow(/openjdk.* pip install jjava/)
  })
})

describe.runIf(isWanted).each(['r', 'java'] as const)('%s where it is installed', (language) => {
  // waits for the template that these come from
  interpreters()
  let sandbox: Interpreter | undefined
  const run = (code: string, opts = {}) => sandbox!.runCode(code, { language, timeoutMs: 60_000, ...opts })

  beforeAll(async () => {
    const name = `interpreter-${language}`
    await Template.build(templates[language], name, { cpuCount: 2, memoryMB: 1024 })
    sandbox = await current280.Sandbox.create(name, { timeoutMs: 300_000, envs: { FROM_CREATE: 'é "c"' } })
  }, BUILD_TIMEOUT_MS)
  afterAll(async () => void (await sandbox?.kill()))

  const code = {
    r: {
      assign: 'x <- 41',
      printed: 'cat("é\\n")',
      variable: 'cat(Sys.getenv("FROM_CREATE"))',
      fails: 'stop("no")',
      endless: 'repeat {}',
    },
    java: {
      assign: 'int x = 41;',
      printed: 'System.out.println("é");',
      variable: 'System.out.print(System.getenv("FROM_CREATE"));',
      fails: 'throw new RuntimeException("no");',
      endless: 'while (true) {}',
    },
  }[language]

  test('state lasts, and the last value is the result', async () => {
    await run(code.assign)
    expect((await run('x + 1')).text).toMatch(/42$/)
  })

  test('output and the variables of the sandbox come as they are', async () => {
    expect((await run(code.printed)).logs.stdout.join('')).toBe('é\n')
    expect((await run(code.variable)).logs.stdout.join('')).toBe('é "c"')
  })

  test('an error has its name and no colours', async () => {
    const { error } = await run(code.fails)
    expect(error?.value).toContain('no')
    expect(error?.traceback).not.toContain('\u001b')
  })

  test('a timeout ends the code, and the kernel goes on with its state', async () => {
    await expect(run(code.endless, { timeoutMs: 2000 })).rejects.toThrow()
    expect((await run('x')).text).toMatch(/41$/)
  })
})
