import { describe, expect, test } from 'vitest'
import { sharedInterpreter } from './interpreter.ts'

const pictures = sharedInterpreter()

describe.each(['r', 'java'] as const)('%s', (language) => {
  const sandbox = sharedInterpreter(undefined, { envs: { FROM_CREATE: 'é "c"' } })
  const run = (code: string, opts = {}) => sandbox().runCode(code, { language, timeoutMs: 60_000, ...opts })

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

  test('output and the variables of the sandbox arrive unchanged', async () => {
    expect((await run(code.printed)).logs.stdout.join('')).toBe('é\n')
    expect((await run(code.variable)).logs.stdout.join('')).toBe('é "c"')
  })

  test('an error has a name and no colour codes', async () => {
    const { error } = await run(code.fails)
    expect(error?.value).toContain('no')
    expect(error?.traceback).not.toContain('\u001b')
  })

  test('a timeout ends the code, and the kernel goes on with its state', async () => {
    await expect(run(code.endless, { timeoutMs: 2000 })).rejects.toThrow()
    expect((await run('x')).text).toMatch(/41$/)
  })
})

test('R draws pictures, and Java has a compiler', async () => {
  const { results } = await pictures().runCode('plot(1:3)', { language: 'r', timeoutMs: 60_000 })
  expect(results.some((result) => result.png !== undefined)).toBe(true)
  const { stdout } = await pictures().commands.run('javac --version && R --version | head -1')
  expect(stdout).toMatch(/javac 17.*R version 4/s)
})
